"""MLflow's own scoring server with the flavours onnx and sklearn."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import onnx

from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import program
from demo.processes import Child

_NAME = "mlflow"
_PATH = "/invocations"


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield both."""
    # The fastest form for both. A data frame would have doubles, which the graph refuses.
    body = msgspec.json.encode({"inputs": [list(entry.record.values())]})
    saved = entry.context.folder / "mlflow-onnx"
    graph = onnx.load_from_string(entry.model.export.content)
    mlflow.onnx.save_model(graph, str(saved), pip_requirements=[])
    name, start = "mlflow models serve, onnx", partial(_start, entry, saved)
    yield Contender(name, start, _PATH, body, entry.check(_of_onnx), _NAME)
    saved = entry.context.folder / "mlflow-sklearn"
    mlflow.sklearn.save_model(
        entry.model.pipeline, str(saved), pyfunc_predict_fn="predict_proba", pip_requirements=[]
    )
    name, start = "mlflow models serve, sklearn", partial(_start, entry, saved)
    yield Contender(name, start, _PATH, body, entry.check(_of_sklearn), _NAME)


def _start(entry: Entry, saved: Path, port: int) -> Child:
    command = [
        program(_NAME, "mlflow"), "models", "serve", "--model-uri", str(saved),
        "--env-manager", "local", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    # It starts uvicorn by name.
    path = f"{Path(command[0]).parent}:/usr/bin:/bin"
    return entry.spawn(command, port, {"PATH": path})


def _of_onnx(response: Any) -> Sequence[float]:
    probabilities: Sequence[float] = response["predictions"]["probabilities"][0]
    return probabilities


def _of_sklearn(response: Any) -> Sequence[float]:
    probabilities: Sequence[float] = response["predictions"][0]
    return probabilities
