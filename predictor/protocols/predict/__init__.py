"""Our own protocol: records by feature names, one (`/predict`) or several (`/predict/batch`)."""

from predictor.protocols.predict.openapi import describe
from predictor.protocols.predict.routes import inference_routes

__all__ = ["describe", "inference_routes"]
