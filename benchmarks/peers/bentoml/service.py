"""ONNX Runtime behind BentoML."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service
class Classifier:
    """One graph."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, record: dict[str, float]) -> list[float]:
        """Answer with the probabilities."""
        row = np.array([list(record.values())], dtype=np.float32)
        probabilities: list[float] = self._session.run(["probabilities"], {"features": row})[0][
            0
        ].tolist()
        return probabilities
