"""The Open Inference Protocol V2, over REST (`/v2`) and gRPC: tensors in, tensors out."""

from predictor.protocols.open_inference.errors import ERROR_FORMATS
from predictor.protocols.open_inference.openapi import describe
from predictor.protocols.open_inference.rest import inference_routes, routes

__all__ = ["ERROR_FORMATS", "describe", "inference_routes", "routes"]
