"""Drift: count the rows that clients send, by bin of the training data, for a comparison by Prometheus."""
