"""Our own protocol: records by feature names, one (`/predict`), several (`/predict/batch`), or tried out (`/predict/what-if`)."""

from predictor.protocols.predict.openapi import describe
from predictor.protocols.predict.routes import inference_routes, what_if_routes

__all__ = ["describe", "inference_routes", "what_if_routes"]
