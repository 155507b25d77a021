"""MLServer with ONNX Runtime, and with its own runtime for scikit-learn."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import msgspec

from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import folder, program
from demo.processes import Child, free_port

_NAME = "mlserver"
_PATH = "/v2/models/model/infer"


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield both."""
    row = list(entry.record.values())
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    pickled = entry.context.folder / "model.joblib"
    joblib.dump(entry.model.pipeline, pickled)
    request = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    check = entry.check(lambda response: response["outputs"][0]["data"])
    start = partial(_start, entry, "runtime.OnnxModel", entry.published.files[0])
    body = msgspec.json.encode({"inputs": [tensor]})
    yield Contender("MLServer, ONNX Runtime", start, _PATH, body, check, _NAME)
    start = partial(_start, entry, "mlserver_sklearn.SKLearnModel", pickled)
    body = msgspec.json.encode(request)
    yield Contender("MLServer, scikit-learn", start, _PATH, body, check, _NAME)


def _start(entry: Entry, implementation: str, file: Path, port: int) -> Child:
    served = entry.context.folder / f"mlserver-{port}"
    served.mkdir()
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        # Without worker processes it is the fastest on one core.
        "parallel_workers": 0,
        "debug": False,
    }
    model: dict[str, Any] = {
        "name": "model",
        "implementation": implementation,
        "parameters": {"uri": str(file)},
    }
    (served / "settings.json").write_text(json.dumps(settings))
    (served / "model-settings.json").write_text(json.dumps(model))
    command = [program(_NAME, "mlserver"), "start", str(served)]
    return entry.spawn(command, port, {"PYTHONPATH": str(folder(_NAME))})
