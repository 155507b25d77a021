"""MLflow's scoring protocol (`/invocations`, `/ping`, `/version`), and with it SageMaker's contract."""

from predictor.protocols.mlflow_scoring.errors import ERROR_FORMATS
from predictor.protocols.mlflow_scoring.openapi import describe
from predictor.protocols.mlflow_scoring.routes import inference_routes, routes

__all__ = ["ERROR_FORMATS", "describe", "inference_routes", "routes"]
