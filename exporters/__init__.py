"""Export a fitted model of any library to ONNX, prove that it predicts the same, and log it to MLflow."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# ONNX Runtime's wheels report usage unless this is set before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from exporters.errors import ConversionError, ExportError, MissingExtraError, ParityError
    from exporters.mlflow_model import Logged, log_model
    from exporters.parity import ParityReport

_MODULES = {
    "ConversionError": "errors",
    "ExportError": "errors",
    "Logged": "mlflow_model",
    "MissingExtraError": "errors",
    "ParityError": "errors",
    "ParityReport": "parity",
    "log_model": "mlflow_model",
}
__all__ = [
    "ConversionError",
    "ExportError",
    "Logged",
    "MissingExtraError",
    "ParityError",
    "ParityReport",
    "log_model",
]


def __getattr__(name: str) -> Any:
    """Import what is used: skl2onnx and MLflow take seconds, which not every command needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"exporters.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("exporters"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs the package {error.name}, which is not installed: "
            "pip install 'mlflow-hotswap[trainer]'",
            name=error.name,
        ) from None
