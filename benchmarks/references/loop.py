"""The predictor's decoder and `session.run` in a loop, without HTTP.

`python -m benchmarks.references.loop MODEL BODY SECONDS` prints rows per second.
"""

import sys
import time
from pathlib import Path

from predictor.model.artifact import MLMODEL, Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from predictor.model_version import ModelVersion


def rows_per_second(model: Path, body: Path, seconds: float) -> float:
    """Rows per second on one core: decode this body and run the model, repeatedly."""
    fetched = Fetched.of("model.onnx", {MLMODEL: b"{}", "model.onnx": model.read_bytes()}, {})
    servable = load(ModelVersion("loop", "1", "", 0), fetched, Interrupt())
    content, rows, started = body.read_bytes(), 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        decoded = servable.decoder.instances(content)
        servable.run(decoded)
        rows += len(decoded)
    return rows / passed


if __name__ == "__main__":
    print(rows_per_second(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
