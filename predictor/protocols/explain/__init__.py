"""`/predict/explain`: what each feature contributed to an answer, by Shapley values."""

from predictor.protocols.explain.routes import describe, routes

__all__ = ["describe", "routes"]
