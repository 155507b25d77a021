"""Fitted scikit-learn estimators as ONNX graphs that were compared with the original on real rows."""

import os

# ONNX Runtime's wheels report usage unless this is set before the first import. A hospital's do not.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
