"""Rows of one event-loop tick become one ONNX Runtime call."""
