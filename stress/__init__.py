"""Load on a real predictor during constant registry changes; every answer is checked."""
