"""MLmodel: read MLflow's YAML description of a version, and the outputs and scoring that it declares."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import msgspec
import yaml

from predictor.errors import LoadError
from predictor.model.signature import Signature

_MAX_BYTES = 1_000_000  # a signature of 10,000 columns has half a megabyte
_MAX_NODES = 20_000  # MLflow writes about a hundred; a signature is a single one
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,30}(e[-+][0-9]{1,3})?")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader in Python: deep nesting crashes the process in the C version.

    It limits the number of nodes, and counts an alias as all the nodes that it stands for.
    """

    # Scalars stay text; `_scalar` converts them.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  as in the base class

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._sizes: dict[str, int] = {}  # nodes in each anchor

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node and count it. Raises YAMLError for too many nodes, and for recursion."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise yaml.YAMLError("an alias refers to a node that contains it")
            self._nodes += self._sizes.get(event.anchor or "", 0)
        if self._nodes > _MAX_NODES:
            raise yaml.YAMLError(f"it has more than {_MAX_NODES} nodes")
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.NodeEvent) and event.anchor and event.anchor not in self._sizes:
            self._sizes[event.anchor] = self._nodes - before
        return node


def read_mlmodel(content: bytes) -> Mapping[str, Any]:
    """The content of `MLmodel`. Raises LoadError (stage `fetch`)."""
    if len(content) > _MAX_BYTES:
        raise LoadError("fetch", f"MLmodel is larger than {_MAX_BYTES:,} bytes")
    try:
        read = _value(yaml.compose(content, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: the bytes are not text.
        detail = " ".join(str(error).split())[:300]
        raise LoadError("fetch", f"MLmodel cannot be read: {detail}") from error
    if not isinstance(read, dict):
        raise LoadError("fetch", "MLmodel does not describe a model: it is not a YAML mapping")
    return read


def onnx_path(content: bytes) -> str:
    """The path of the ONNX graph in the `onnx` flavour. Raises LoadError (stage `fetch`)."""
    described = read_mlmodel(content)
    try:
        path = described["flavors"]["onnx"]["data"]
    except (KeyError, TypeError) as error:
        flavours = described.get("flavors")
        raise LoadError(
            "fetch", _without_onnx(flavours if isinstance(flavours, dict) else {})
        ) from error
    if not isinstance(path, str):
        raise LoadError("fetch", "MLmodel's onnx flavour has a path (`data`) that is not text")
    return path


def names_example(content: bytes, name: str) -> bool:
    """Whether the version has an input example in a file of this name. Raises LoadError (stage `fetch`)."""
    if name.encode() not in content:  # reading YAML is slow, and most versions have no example
        return False
    saved = read_mlmodel(content).get("saved_input_example_info")
    return isinstance(saved, dict) and saved.get("artifact_path") == name


# Flavours that the trainer converts.
_CONVERTED = {"sklearn", "lightgbm", "xgboost", "catboost"}


def _without_onnx(flavours: Mapping[Any, Any]) -> str:
    """Why a version without an ONNX graph is not served, and how to register it with one."""
    found = [name[:50] for name in flavours if isinstance(name, str)][:10]
    without = f"MLmodel has no onnx flavour, only {', '.join(found) or 'none'}. "
    if _CONVERTED.intersection(found):
        return without + (
            "Register a next version with one: `python -m trainer convert models:/NAME/VERSION "
            "--data ROWS.csv --register`"
        )
    exporter = "`torch.onnx.export`" if "pytorch" in found else "its exporter"
    return without + (
        f"Export it with {exporter} and register the graph as the next version: "
        '`mlflow.onnx.log_model(graph, name="model", signature=infer_signature(X), '
        "registered_model_name=...)`"
    )


def _value(node: yaml.Node | None) -> Any:
    """A node's value. Raises YAMLError."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each) for each in node.value]
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode) -> dict[Any, Any]:
    read: dict[Any, Any] = {}
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise yaml.YAMLError("a key is not a scalar")
        key = _scalar(name)
        if key == "<<" and name.style is None:
            raise yaml.YAMLError("it has a merge key (<<), which MLflow never writes")
        if key in read:
            raise yaml.YAMLError(f"the key {str(key)[:100]!r} occurs twice")
        read[key] = _value(value)
    return read


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:  # in quotes, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


@contextmanager
def readable(part: str) -> Iterator[None]:
    """Raise LoadError (stage `signature`) if reading a part of `MLmodel` fails."""
    try:
        yield
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
        raise LoadError("signature", f"MLmodel's {part} is not readable: {error!r}") from error


def declared(
    mlmodel: Mapping[str, Any], part: Literal["inputs", "outputs", "params"]
) -> list[dict[str, Any]]:
    """A part of MLflow's signature; empty if it is absent. Its callers are `readable`."""
    text = (mlmodel.get("signature") or {}).get(part)
    return msgspec.json.decode(text, type=list[dict[str, Any]]) if text else []


_NUMBERS = ("double", "float", "long", "int", "uint", "bool")  # prefixes of MLflow's type names


@dataclass(frozen=True)
class DeclaredOutputs:
    """Whether the signature declares text or numbers, and how many columns a single tensor has."""

    text: bool = False
    numbers: bool = False
    width: int | None = None

    @classmethod
    @readable("signature of outputs")
    def read(cls, mlmodel: Mapping[str, Any]) -> Self:
        """From a parsed `MLmodel` file. Raises LoadError (stage `signature`) if it is not readable."""
        outputs = declared(mlmodel, "outputs")
        types = [_type(each) for each in outputs]
        width = _width(outputs[0]) if len(outputs) == 1 else None
        text = any(name in {"string", "str"} for name in types)
        return cls(text, any(name.startswith(_NUMBERS) for name in types), width)

    def check(self, signature: Signature) -> None:
        """Raise LoadError (stage `signature`) if the graph's outputs contradict the declared ones."""
        ports = signature.results
        classes = any(isinstance(label, str) for label in signature.class_labels)
        texts = classes or any("string" in port.type for port in ports)
        only_texts = all(port.type == "tensor(string)" for port in ports)
        if self.text and not texts:
            raise LoadError("signature", "the signature says text, the graph only gives numbers")
        if self.numbers and not self.text and only_texts:
            raise LoadError("signature", "the signature says numbers, the graph only gives text")
        widths = {None if port.type.startswith("seq") else port.width for port in ports}
        observed = not signature.outputs.unverified  # else an exporter declared the shapes
        if (
            observed
            and self.width is not None
            and self.width > 1
            and not widths & {None, self.width}
        ):
            listed = ", ".join(str(width) for width in sorted(w for w in widths if w is not None))
            raise LoadError(
                "signature",
                f"the signature says {self.width} columns of output, the graph gives {listed}",
            )


def _type(output: Mapping[str, Any]) -> str:
    kind = output["type"]
    return str(output["tensor-spec"]["dtype"] if kind == "tensor" else kind)


def _width(output: Mapping[str, Any]) -> int | None:
    shape = output["tensor-spec"]["shape"] if output["type"] == "tensor" else []
    return shape[1] if len(shape) == 2 and shape[1] >= 0 else None  # noqa: PLR2004


Inputs = Literal["columns", "unnamed columns", "tensors", "tensor", "none"]
"""The kind of inputs in the signature: named columns, columns by position, named tensors, one tensor."""


@dataclass(frozen=True)
class Param:
    """An inference parameter in the signature: its name, MLflow's type, and whether it is a list."""

    name: str
    type: str
    listed: bool = False


@dataclass(frozen=True)
class PythonFunction:
    """The `python_function` flavour, the signature's inputs and parameters, and MLflow's version.

    Each is empty if it is not in `MLmodel`.
    """

    loader_module: str = ""
    predict_fn: str = "predict"
    mlflow_version: str = ""
    inputs: Inputs = "none"
    params: tuple[Param, ...] = ()

    @classmethod
    @readable("python_function or signature")
    def read(cls, mlmodel: Mapping[str, Any]) -> Self:
        """From a parsed `MLmodel` file. Raises LoadError (stage `signature`) if it is not readable."""
        flavour = (mlmodel.get("flavors") or {}).get("python_function") or {}
        return cls(
            str(flavour.get("loader_module") or ""),
            str(flavour.get("predict_fn") or "predict"),
            str(mlmodel.get("mlflow_version") or ""),
            _kind(declared(mlmodel, "inputs")),
            tuple(map(_param, declared(mlmodel, "params"))),
        )


def _kind(inputs: list[dict[str, Any]]) -> Inputs:
    if not inputs:
        return "none"
    named = all("name" in each for each in inputs)
    if all(each["type"] == "tensor" for each in inputs):
        return "tensors" if named else "tensor"
    return "columns" if named else "unnamed columns"


def _param(param: dict[str, Any]) -> Param:
    return Param(str(param["name"]), str(param["type"]), listed=param.get("shape") is not None)
