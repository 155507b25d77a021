"""ONNX Runtime behind Triton's Python backend, as its documentation says how to write a model."""

import os
import sys
from typing import Any

sys.path.insert(0, os.environ["PACKAGES"])
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One graph."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002  Triton names it
        """Open the session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Compute a batch of requests in one call; return one response for each request."""
        parts = [
            triton.get_input_tensor_by_name(request, "features").as_numpy() for request in requests
        ]
        rows = np.concatenate(parts)
        probabilities = self._session.run(["probabilities"], {"features": rows})[0]
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return [
            triton.InferenceResponse([triton.Tensor("probabilities", part)])
            for part in np.split(probabilities, ends)
        ]
