"""Versions as MLflow describes them, for the tests of its scoring protocol."""

import json
from pathlib import Path
from typing import Any

import yaml

from predictor.model.artifact import Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt, Servable
from tests.predictor.graphs import NAMES, OURS
from tests.predictor.live import Live
from tests.predictor.parts import version

COLUMNS = [{"type": "double", "name": name, "required": True} for name in NAMES]


def tensor(*shape: int, name: str | None = None) -> dict[str, Any]:
    """A tensor of float32, as a signature has it."""
    named = {} if name is None else {"name": name}
    return {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [*shape]}, **named}


def described(
    graph: bytes = OURS,
    inputs: list[dict[str, Any]] | None = None,
    loader: str = "mlflow.sklearn",
    **more: Any,
) -> Fetched:
    """A version with a `python_function` flavour; `more` are `predict_fn`, `params` and `mlflow_version`."""
    function = {"loader_module": loader, "predict_fn": more.get("predict_fn", "predict")}
    signature = {
        key: json.dumps(said)
        for key, said in (("inputs", inputs), ("params", more.get("params")))
        if said is not None
    }
    mlmodel = {
        "flavors": {"onnx": {"data": "model.onnx"}, "python_function": function},
        "mlflow_version": more.get("mlflow_version", "3.1.4"),
        "signature": signature,
    }
    files = {"MLmodel": yaml.safe_dump(mlmodel).encode(), "model.onnx": graph}
    return Fetched.of("model.onnx", files, {})


def servable(*about: Any, **more: Any) -> Servable:
    return load(version(1), described(*about, **more), Interrupt())


class Scored(Live):
    """A service that serves a version as MLflow describes it."""

    def __init__(self, folder: Path, *about: Any, settings: Any = None, **more: Any) -> None:
        super().__init__(folder, **(settings or {}))
        fetched = described(*about, **more)
        self.source.files = lambda _: fetched  # type: ignore[method-assign]

    async def ask(self, body: Any, kind: str | None = "application/json", **headers: str) -> Any:
        """The answer of `/invocations`."""
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        typed = {} if kind is None else {"content-type": kind}
        return await self.client.post("/invocations", content=content, headers=typed | headers)
