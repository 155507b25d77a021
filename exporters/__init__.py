"""Export fitted scikit-learn estimators to ONNX, and compare both on real rows."""

import os

# ONNX Runtime's wheels report usage unless this is set before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
