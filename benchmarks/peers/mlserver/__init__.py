"""MLServer: its environment, its runtime around ONNX Runtime, and how it is started."""
