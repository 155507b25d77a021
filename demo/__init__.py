"""`make demo`: MLflow, training, promotion and a serving predictor."""
