"""MLmodel: MLflow's description of a version, in YAML; what it declares of inputs, outputs and scoring."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import msgspec
import yaml

from predictor.errors import LoadError
from predictor.model.signature import Signature

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


_NUMBERS = ("double", "float", "long", "int", "uint", "bool")  # beginnings of MLflow's type names


@dataclass(frozen=True)
class DeclaredOutputs:
    """Whether text or numbers are declared, and how many columns a single tensor of them has."""

    text: bool = False
    numbers: bool = False
    width: int | None = None

    @classmethod
    def read(cls, mlmodel: Mapping[str, Any]) -> Self:
        """From a parsed `MLmodel` file. Raises LoadError where it is there but not readable."""
        try:
            said = (mlmodel.get("signature") or {}).get("outputs")
            outputs = msgspec.json.decode(said, type=list[dict[str, Any]]) if said else []
            types = [_type(each) for each in outputs]
            width = _width(outputs[0]) if len(outputs) == 1 else None
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
            reason = f"MLmodel's signature of outputs is not readable: {error!r}"
            raise LoadError("signature", reason) from error
        text = any(name in {"string", "str"} for name in types)
        return cls(text, any(name.startswith(_NUMBERS) for name in types), width)

    def check(self, signature: Signature) -> None:
        """Raise LoadError where a graph of this signature cannot answer what is declared.

        The shapes of its results are those that a run has shown, as far as one has.
        """
        ports = signature.results
        classes = any(isinstance(label, str) for label in signature.class_labels)
        texts = classes or any("string" in port.type for port in ports)
        only_texts = all(port.type == "tensor(string)" for port in ports)
        if self.text and not texts:
            raise LoadError("signature", "the signature says text, the graph only gives numbers")
        if self.numbers and not self.text and only_texts:
            raise LoadError("signature", "the signature says numbers, the graph only gives text")
        widths = {None if port.type.startswith("seq") else port.width for port in ports}
        shown = not signature.outputs.unverified  # else shapes are what an exporter declared
        if shown and self.width is not None and self.width > 1 and not widths & {None, self.width}:
            listed = ", ".join(str(width) for width in sorted(w for w in widths if w is not None))
            raise LoadError(
                "signature",
                f"the signature says {self.width} columns of output, the graph gives {listed}",
            )


def _type(declared: Mapping[str, Any]) -> str:
    kind = declared["type"]
    return str(declared["tensor-spec"]["dtype"] if kind == "tensor" else kind)


def _width(declared: Mapping[str, Any]) -> int | None:
    shape = declared["tensor-spec"]["shape"] if declared["type"] == "tensor" else []
    return shape[1] if len(shape) == 2 and shape[1] >= 0 else None  # noqa: PLR2004


Inputs = Literal["columns", "unnamed columns", "tensors", "tensor", "none"]
"""What the signature of the inputs is: named columns, columns by position, tensors by name, one tensor."""


@dataclass(frozen=True)
class Param:
    """A parameter of inference that the signature declares: its name, MLflow's type, whether it is a list."""

    name: str
    type: str
    listed: bool = False


@dataclass(frozen=True)
class PythonFunction:
    """The `python_function` flavour, the signature's inputs and parameters, and the MLflow that wrote them.

    Each is empty where `MLmodel` has none.
    """

    loader_module: str = ""
    predict_fn: str = "predict"
    mlflow_version: str = ""
    inputs: Inputs = "none"
    params: tuple[Param, ...] = ()

    @classmethod
    def read(cls, mlmodel: Mapping[str, Any]) -> Self:
        """From a parsed `MLmodel` file. Raises LoadError (stage `signature`) where it is not readable."""
        try:
            flavour = (mlmodel.get("flavors") or {}).get("python_function") or {}
            signature = mlmodel.get("signature") or {}
            return cls(
                str(flavour.get("loader_module") or ""),
                str(flavour.get("predict_fn") or "predict"),
                str(mlmodel.get("mlflow_version") or ""),
                _inputs(_listed(signature.get("inputs"))),
                tuple(map(_param, _listed(signature.get("params")))),
            )
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
            reason = f"MLmodel's python_function or signature is not readable: {error!r}"
            raise LoadError("signature", reason) from error


def _listed(text: str | None) -> list[dict[str, Any]]:
    return msgspec.json.decode(text, type=list[dict[str, Any]]) if text else []


def _inputs(declared: list[dict[str, Any]]) -> Inputs:
    if not declared:
        return "none"
    named = all("name" in each for each in declared)
    if all(each["type"] == "tensor" for each in declared):
        return "tensors" if named else "tensor"
    return "columns" if named else "unnamed columns"


def _param(declared: dict[str, Any]) -> Param:
    return Param(
        str(declared["name"]), str(declared["type"]), listed=declared.get("shape") is not None
    )
