"""Counts in memory that processes share, and how they are shown to Prometheus."""
