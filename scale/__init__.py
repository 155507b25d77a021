"""The load of many replicas: measured costs, and a simulation based on them."""
