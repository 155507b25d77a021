"""MLmodel: MLflow's description of a version, in YAML.

Whoever may upload a version writes it, so it is read within bounds, in time that grows with its bytes.
PyYAML takes the text apart; what its scalars mean is decided here, as far as a description needs it: a
mapping, a list, null, true, false, a short number, and text for all else. PyYAML's own reading has
base-60 integers, whose cost grows with the square of their length, and merge keys, which multiply
what they name.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from predictor.errors import LoadError

_MAX_BYTES = 1_000_000  # the signature of 10,000 columns has half of it
_MAX_NODES = 20_000  # MLflow writes about a hundred; a signature is one
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,30}(e[-+][0-9]{1,3})?")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, in Python: the one in C recurses until the process dies."""

    # A scalar has no type by its look: of the patterns that would say, none is tried.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  as its base has it

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._sizes: dict[str, int] = {}  # of what has a name, with all that is inside

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count each node as often as it is in the text that is meant."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise yaml.YAMLError("something is a part of itself")
            self._nodes += self._sizes.get(event.anchor or "", 0)
        if self._nodes > _MAX_NODES:
            raise yaml.YAMLError(f"it has more than {_MAX_NODES} nodes")
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.NodeEvent) and event.anchor and event.anchor not in self._sizes:
            self._sizes[event.anchor] = self._nodes - before
        return node


def read_mlmodel(content: bytes) -> Mapping[str, Any]:
    """The description as it was written. Raises LoadError (stage `fetch`)."""
    if len(content) > _MAX_BYTES:
        raise LoadError("fetch", f"MLmodel is larger than {_MAX_BYTES:,} bytes")
    try:
        read = _value(yaml.compose(content, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: bytes that are no text.
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
        raise LoadError("fetch", "MLmodel's onnx flavour has a path (`data`) that is not a text")
    return path


def names_example(content: bytes, name: str) -> bool:
    """Whether the description says that rows of input are beside it in a file of this name.

    Raises LoadError (stage `fetch`).
    """
    if name.encode() not in content:  # reading YAML is slow, and most have none
        return False
    saved = read_mlmodel(content).get("saved_input_example_info")
    return isinstance(saved, dict) and saved.get("artifact_path") == name


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
        f"MLmodel has no onnx flavour, only {', '.join(found) or 'none'}. Export it with "
        f"{exporter} and register the graph as the next version: `mlflow.onnx.log_model(graph, "
        'name="model", signature=infer_signature(X), registered_model_name=...)`'
    )


def _value(node: yaml.Node | None) -> Any:
    """What a node means. Raises YAMLError."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each) for each in node.value]
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode) -> dict[Any, Any]:
    read: dict[Any, Any] = {}
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise yaml.YAMLError("a key is no scalar")
        key = _scalar(name)
        if key == "<<" and name.style is None:
            raise yaml.YAMLError("it has a merge key (<<), which MLflow never writes")
        if key in read:
            raise yaml.YAMLError(f"the key {str(key)[:100]!r} is there twice")
        read[key] = _value(value)
    return read


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:  # in quotes, or as a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
