"""MLflow's webhooks: which deliveries are genuine, new, and about the model that serves here."""
