"""BentoML: its environment, its service around ONNX Runtime, and how it is started."""
