"""ONNX Runtime behind LitServe."""

import os
import sys
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import litserve
import numpy as np
import onnxruntime as ort


class Classifier(litserve.LitAPI):
    """One graph."""

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe names it
        """Open the session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request: dict[str, float]) -> Any:
        """A row."""
        return np.array([list(request.values())], dtype=np.float32)

    def predict(self, row: Any) -> Any:
        """Its probabilities."""
        return self._session.run(["probabilities"], {"features": row})[0][0]

    def encode_response(self, probabilities: Any) -> dict[str, list[float]]:
        """The response body."""
        return {"probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
