"""Replicas that tell each other of changes, and report what they serve, over NATS. Optional: PREDICTOR_NATS_URL."""
