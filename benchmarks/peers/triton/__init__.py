"""Triton: its environment, its model around ONNX Runtime, and how it is started."""
