"""MLmodel: MLflow's description of a version, in YAML.

Whoever may upload a version writes it, so it is read within bounds. PyYAML alone has none: 2 MB of
brackets keep a core busy for half a minute, and merge keys multiply what they name: a kilobyte
of them never ends.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from predictor.errors import LoadError

_MOST_BYTES = 2_000_000  # the signature of 10,000 columns has a quarter of it
_MOST_NODES = 20_000  # MLflow writes about a hundred; a signature is one


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, in Python: the one in C recurses until the process dies."""

    _nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise yaml.YAMLError(f"it has more than {_MOST_NODES} nodes")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("it has a merge key (<<), which MLflow never writes")
        super().flatten_mapping(node)


def read_mlmodel(content: bytes) -> Mapping[str, Any]:
    """The description as it was written. Raises LoadError (stage `fetch`)."""
    if len(content) > _MOST_BYTES:
        raise LoadError("fetch", f"MLmodel is larger than {_MOST_BYTES:,} bytes")
    try:
        read = yaml.load(content, _Loader)  # noqa: S506  it is a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: bytes that are no text, and dates that are none.
        said = " ".join(str(error).split())[:300]
        raise LoadError("fetch", f"MLmodel cannot be read: {said}") from error
    if not isinstance(read, dict):
        raise LoadError("fetch", "MLmodel is not a description of a model: it is no mapping")
    return read


def onnx_path(content: bytes) -> str:
    """The path of the ONNX graph, as the `onnx` flavour tells it. Raises LoadError (stage `fetch`)."""
    described = read_mlmodel(content)
    try:
        path = described["flavors"]["onnx"]["data"]
    except (KeyError, TypeError) as error:
        flavours = described.get("flavors")
        raise LoadError(
            "fetch", _without_onnx(flavours if isinstance(flavours, dict) else {})
        ) from error
    if not isinstance(path, str):
        # YAML may name one list a thousand million times; as a text, it would have to be written out.
        raise LoadError("fetch", "MLmodel's onnx flavour has a path (`data`) that is not a text")
    return path


# What exports a model of each flavour; X are rows that it was fitted on.
_EXPORTERS = {
    "sklearn": "`skl2onnx.to_onnx(model, X[:1])`",
    "lightgbm": "`onnxmltools.convert_lightgbm(model, initial_types=...)`",
    "xgboost": "`onnxmltools.convert_xgboost(model, initial_types=...)`",
    "catboost": '`model.save_model("model.onnx", format="onnx")`',
    "pytorch": "`torch.onnx.export`",
}


def _without_onnx(flavours: Mapping[Any, Any]) -> str:
    """Why a version without an ONNX graph is not served, and how to register one that is."""
    found = [name[:50] for name in flavours if isinstance(name, str)][:10]
    exporter = next((_EXPORTERS[name] for name in found if name in _EXPORTERS), "its exporter")
    return (
        f"the version has no onnx flavour, only {', '.join(found) or 'none'}. Export it with "
        f"{exporter} and register the graph as the next version: `mlflow.onnx.log_model(graph, "
        'name="model", signature=infer_signature(X), registered_model_name=...)`'
    )
