"""Serve the model version that MLflow's registry names, and follow the registry when it changes."""

__version__ = "0.1.0"
