"""LitServe: its environment, its server around ONNX Runtime, and how it is started."""
