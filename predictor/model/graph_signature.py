"""Reading a signature from a graph's ports, its metadata and MLflow's signature.

The graph decides. Names come from the graph's inputs, from the `feature_names` that our exporter
writes into the graph, or from MLflow's signature; where two of them disagree, the version is
refused, because a number in the wrong column is a wrong answer.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from predictor.errors import LoadError
from predictor.model.signature import FLOATS, Feature, Port

_FLOAT_NAMES = {np.dtype(each).name for each in FLOATS.values()}


@dataclass(frozen=True)
class MlflowSignature:
    """The inputs of MLflow's signature: column names, or the width of a tensor, or neither.

    `types` are MLflow's of the columns, such as `double`; `optional` and `boolean` the columns that need
    not be given, and those of type boolean: by their places among all columns.
    """

    columns: tuple[str, ...] = ()
    width: int | None = None
    optional: frozenset[int] = frozenset()
    boolean: frozenset[int] = frozenset()
    types: tuple[str, ...] = ()

    @classmethod
    def read(cls, mlmodel: Mapping[str, Any]) -> "MlflowSignature":
        """From a parsed `MLmodel` file. Raises LoadError where it is there but not readable."""
        try:
            text = (mlmodel.get("signature") or {}).get("inputs")
            inputs = msgspec.json.decode(text, type=list[dict[str, Any]]) if text else []
            return cls._of(inputs)
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
            raise LoadError(
                "signature", f"MLmodel's signature is not readable: {error!r}"
            ) from error

    @classmethod
    def _of(cls, inputs: Sequence[Mapping[str, Any]]) -> "MlflowSignature":
        if len(inputs) == 1 and inputs[0]["type"] == "tensor":
            # A name here is the tensor's, not a column's.
            return cls(width=_width(inputs[0]["tensor-spec"]["shape"]))
        named = all("name" in each for each in inputs)
        columns = [name for each in inputs for name in _columns(each)] if named else []
        width = None if named else len(inputs)
        if any(each["type"] == "tensor" for each in inputs):
            return cls(tuple(columns), width)
        places = range(len(inputs))
        optional = frozenset(place for place in places if _is_optional(inputs[place]))
        boolean = frozenset(place for place in places if inputs[place]["type"] == "boolean")
        types = tuple(str(each["type"]) for each in inputs)
        return cls(tuple(columns), width, optional, boolean, types)


def _columns(declared: Mapping[str, Any]) -> list[str]:
    name = str(declared["name"])
    if declared["type"] != "tensor":
        return [name]
    return _spread(name, _width(declared["tensor-spec"]["shape"]) or 1)


def _is_optional(declared: Mapping[str, Any]) -> bool:
    # Older versions of MLflow wrote `optional` where newer ones write `required`.
    return declared.get("required") is False or declared.get("optional") is True


def _width(shape: Sequence[int]) -> int | None:
    return shape[1] if len(shape) > 1 and shape[1] >= 0 else None


def _spread(name: str, width: int) -> list[str]:
    """The names of a tensor's columns."""
    return [name] if width == 1 else [f"{name}_{i}" for i in range(width)]


def read_features(
    ports: Sequence[Port],
    feature_names: Sequence[str] | None,
    declared: MlflowSignature,
    optional: Sequence[str] = (),
) -> tuple[Feature, ...]:
    """The features, in the order of the ports' columns.

    `optional` are the names of features that may be missing, as the graph's metadata have them.

    Raises LoadError where the graph's inputs, `feature_names`, `optional` and MLflow's signature
    disagree.
    """
    if not ports:
        raise LoadError("signature", "the graph takes no input")
    for port in ports:
        if len(port.shape) > 2:  # noqa: PLR2004
            raise LoadError(
                "signature", f"input {port.name!r} has {len(port.shape)} dimensions; rows have two"
            )
        if port.shape and port.shape[0] not in (None, 1):
            raise LoadError(
                "signature", f"input {port.name!r} only takes batches of {port.shape[0]} rows"
            )
    names = (
        _tensor_names(ports[0], feature_names, declared)
        if len(ports) == 1
        else _column_names(ports, feature_names, declared)
    )
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise LoadError("signature", f"two features have the same name: {', '.join(twice)}")
    if unknown := sorted(set(optional) - set(names)):
        raise LoadError(
            "signature", f"the graph's optional_features are not its features: {', '.join(unknown)}"
        )
    wide = [port for port in ports for _ in range(port.width or len(names))]
    features = [_feature(name, port) for name, port in zip(names, wide, strict=True)]
    return tuple(_as_declared(features, declared, set(optional)))


def _as_declared(
    features: Sequence[Feature], declared: MlflowSignature, optional: Container[str]
) -> Iterator[Feature]:
    """The features, with what MLflow's signature says of their columns."""
    places = {name: place for place, name in enumerate(declared.columns)}
    for number, feature in enumerate(features):
        place = places.get(feature.name, -1) if places else number
        missing = feature.name in optional or place in declared.optional
        if place in declared.boolean and feature.type in {"number", "integer"}:
            feature = Feature(feature.name, "boolean", feature.dtype)  # noqa: PLW2901
        # There is no NaN among integers, booleans and texts.
        yield replace(feature, required=not (missing and feature.dtype in _FLOAT_NAMES))


def _tensor_names(
    port: Port, feature_names: Sequence[str] | None, declared: MlflowSignature
) -> list[str]:
    if feature_names and declared.columns:
        # Further columns of the signature are ignored, as they are where the graph has an input each.
        own = [column for column in declared.columns if column in set(feature_names)]
        if own != list(feature_names):
            raise LoadError(
                "signature",
                "the graph's feature_names and MLflow's signature name different columns",
            )
    names = list(feature_names or declared.columns)
    if port.width == 1 and port.name in names:
        names = [port.name]
    width = port.width or len(names) or declared.width
    if width is None:
        raise LoadError(
            "signature",
            f"nothing says how many columns input {port.name!r} has; log the model with a signature",
        )
    if not names:
        names = [port.name] if width == 1 else [f"feature_{i}" for i in range(width)]
    if len(names) != width or declared.width not in (None, width):
        said = declared.width if declared.width not in (None, width) else len(names)
        raise LoadError("signature", f"the graph takes {width} columns, the signature says {said}")
    return names


def _column_names(
    ports: Sequence[Port], feature_names: Sequence[str] | None, declared: MlflowSignature
) -> list[str]:
    names = []
    for port in ports:
        if port.width is None:
            raise LoadError("signature", f"nothing says how many columns input {port.name!r} has")
        names += _spread(port.name, port.width)
    if feature_names and {_plain(name) for name in feature_names} != {_plain(n) for n in names}:
        raise LoadError("signature", "the graph's feature_names and its inputs are different")
    if declared.width not in (None, len(names)):
        raise LoadError(
            "signature",
            f"the graph takes {len(names)} columns, the signature says {declared.width}",
        )
    if not declared.columns or set(names) == set(declared.columns):
        return names
    wide = [port for port in ports for _ in range(port.width or 1)]
    fit = len(wide) == len(declared.types) and all(map(_takes, wide, declared.types))
    return _own_names(names, declared.columns, in_order=fit or not declared.types)


def _takes(port: Port, declared: str) -> bool:
    """Whether an input of the graph may be a column of this type of MLflow's."""
    kind = port.dtype.kind
    if kind == "O" or declared == "string":
        return (kind == "O") == (declared == "string")
    allowed = {"float": "f", "double": "f", "integer": "fiu", "long": "fiu"}
    return kind in allowed.get(declared, "bfiu")


def _own_names(names: Sequence[str], columns: Sequence[str], *, in_order: bool) -> list[str]:
    """The columns of MLflow's signature that a graph's inputs stand for, in the graph's order.

    Exporters rename what is no identifier. Names that are renamed to different ones match in any
    order; where they are not ("a b" and "a_b" become a_b and a_b1), the order tells which is which,
    if all are in it, and of types that the inputs may have, which is `in_order`. Columns that no input
    stands for are ignored.
    """
    if in_order and any([*names] == _renamed(columns, replaced) for replaced in _REPLACED):
        return [*columns]
    plain = [_plain(name) for name in names]
    own = [column for column in columns if _plain(column) in plain]
    by_plain_name = {_plain(column): column for column in own}
    if not len(own) == len(names) == len(by_plain_name):
        differ = sorted(set(plain) ^ {_plain(column) for column in columns}) or sorted(plain)
        raise LoadError(
            "signature", f"the graph's inputs and MLflow's signature differ in {', '.join(differ)}"
        )
    return [by_plain_name[name] for name in plain]


_REPLACED = (r"[^\w+]", "[^0-9a-zA-Z]")  # by skl2onnx, by onnxmltools


def _renamed(columns: Sequence[str], replaced: str) -> list[str]:
    """What exporters call the inputs of these columns: as `Topology._generate_unique_name` does."""
    taken: dict[str, None] = {}
    for column in columns:
        name = free = _plain(column, replaced)
        number = 0
        while free in taken:
            number += 1
            free = f"{name}{number}"
        taken[free] = None
    return list(taken)


def _plain(name: str, replaced: str = r"\W") -> str:
    identifier = re.sub(replaced, "_", name)
    return f"_{identifier}" if identifier[:1].isdigit() else identifier


def _feature(name: str, port: Port) -> Feature:
    dtype = port.dtype
    if dtype.kind == "f":
        limit = largest(dtype)
        return Feature(name, "number", dtype.name, -limit, limit)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # The decoder bounds integers by int64, which cuts off the upper half of uint64.
        most = min(int(limits.max), 2**63 - 1)
        return Feature(name, "integer", dtype.name, int(limits.min), most)
    return (
        Feature(name, "boolean", "bool") if dtype.kind == "b" else Feature(name, "string", "string")
    )


def largest(dtype: np.dtype[Any]) -> float:
    """The largest float64 that is a finite number once it is rounded to this dtype.

    Other languages print the largest float32 in the fewest digits that mean it, 3.4028235e38, which is a
    little more than it is.
    """
    limits = np.finfo(dtype)
    if dtype.itemsize >= np.dtype(np.float64).itemsize:
        return float(limits.max)
    # Half a step beyond the largest rounds to even, which is infinity.
    half_a_step = 2.0 ** (int(limits.maxexp) - int(limits.nmant) - 2)
    return float(np.nextafter(float(limits.max) + half_a_step, 0.0))
