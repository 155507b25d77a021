"""Real load on a real predictor while the registry changes as fast as it can; every answer is checked."""
