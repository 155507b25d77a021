"""Measure other servers with the same model, each in its own environment: `make bench-peers`."""
