"""Features: read their names, types and ranges from the graph's inputs, its metadata and MLflow's signature.

Types and widths come from the graph. Names come from its inputs, from its metadata entry `feature_names`,
or from MLflow's signature. If two of these disagree, the version is refused, because a number in the wrong
column gives a wrong prediction.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from predictor.errors import LoadError
from predictor.model.mlmodel import declared as declared_in
from predictor.model.mlmodel import readable
from predictor.model.signature import FLOATS, Feature, Port

_FLOAT_NAMES = {np.dtype(each).name for each in FLOATS.values()}


# Up to here, a float holds every whole number.
_LARGEST_WHOLE = {"float32": 2**24, "float64": 2**53}


@dataclass(frozen=True)
class MlflowSignature:
    """The inputs of MLflow's signature: column names, or the width of a tensor, or neither.

    `types` are the columns' types in MLflow, such as `double`. `optional`, `boolean` and `whole` are the
    indices of the columns that may be missing, of the boolean columns, and of those of whole numbers.
    """

    columns: tuple[str, ...] = ()
    width: int | None = None
    optional: frozenset[int] = frozenset()
    boolean: frozenset[int] = frozenset()
    whole: frozenset[int] = frozenset()
    types: tuple[str, ...] = ()

    @classmethod
    @readable("signature")
    def read(cls, mlmodel: Mapping[str, Any]) -> "MlflowSignature":
        """From a parsed `MLmodel` file. Raises LoadError (stage `signature`) if it is not readable."""
        return cls._of(declared_in(mlmodel, "inputs"))

    @classmethod
    def _of(cls, inputs: Sequence[Mapping[str, Any]]) -> "MlflowSignature":
        if len(inputs) == 1 and inputs[0]["type"] == "tensor":
            # A name is that of the tensor, not of a column.
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
        whole = frozenset(place for place in places if types[place] in {"integer", "long"})
        return cls(tuple(columns), width, optional, boolean, whole, types)


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
    missing_text: str | None = None,
) -> tuple[Feature, ...]:
    """The features, in the order of the ports' columns.

    `feature_names`, `optional`, the names of features that may be missing, and `missing_text`, what the graph
    takes for a missing text, are from the graph's metadata.

    Raises LoadError (stage `signature`) if the graph's inputs, its metadata and MLflow's signature
    disagree.
    """
    _check_shapes(ports)
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
    return tuple(_as_declared(features, declared, set(optional), missing_text))


def _check_shapes(ports: Sequence[Port]) -> None:
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


def _as_declared(
    features: Sequence[Feature],
    declared: MlflowSignature,
    optional: Container[str],
    missing_text: str | None,
) -> Iterator[Feature]:
    """The features; MLflow's signature adds which are boolean or whole, and which may be missing."""
    places = {name: place for place, name in enumerate(declared.columns)}
    for number, feature in enumerate(features):
        place = places.get(feature.name, -1) if places else number
        missing = feature.name in optional or place in declared.optional
        if place in declared.boolean and feature.type in {"number", "integer"}:
            feature = Feature(feature.name, "boolean", feature.dtype)  # noqa: PLW2901
        elif place in declared.whole and feature.dtype in _LARGEST_WHOLE and not missing:
            # A graph of floats would take 2.5, and an encoder of codes read it as 2.
            limit = _LARGEST_WHOLE[feature.dtype]
            feature = Feature(feature.name, "integer", feature.dtype, -limit, limit)  # noqa: PLW2901
        if missing and feature.type == "string" and missing_text is not None:
            yield replace(feature, required=False, missing=missing_text)
        else:  # integers and booleans have no NaN
            yield replace(feature, required=not (missing and feature.dtype in _FLOAT_NAMES))


def _tensor_names(
    port: Port, feature_names: Sequence[str] | None, declared: MlflowSignature
) -> list[str]:
    if feature_names and declared.columns:
        # Columns of the signature that the graph does not take are ignored, as in `_own_names`.
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
        raise _unknown_width(port)
    if not names:
        names = [port.name] if width == 1 else [f"feature_{i}" for i in range(width)]
    if len(names) != width:
        raise _other_width(width, len(names))
    if declared.width not in (None, width):
        raise _other_width(width, declared.width)
    return names


def _unknown_width(port: Port) -> LoadError:
    return LoadError(
        "signature",
        f"the number of columns of input {port.name!r} is unknown; log the model with a signature",
    )


def _other_width(width: int, declared: int | None) -> LoadError:
    return LoadError("signature", f"the graph takes {width} columns, the signature has {declared}")


def _column_names(
    ports: Sequence[Port], feature_names: Sequence[str] | None, declared: MlflowSignature
) -> list[str]:
    names = []
    for port in ports:
        if port.width is None:
            raise _unknown_width(port)
        names += _spread(port.name, port.width)
    if feature_names and {_plain(name) for name in feature_names} != {_plain(n) for n in names}:
        raise LoadError("signature", "the graph's feature_names and its inputs are different")
    if declared.width not in (None, len(names)):
        raise _other_width(len(names), declared.width)
    if not declared.columns or set(names) == set(declared.columns):
        return names
    wide = [port for port in ports for _ in range(port.width or 1)]
    fit = len(wide) == len(declared.types) and all(map(_accepts, wide, declared.types))
    return _own_names(names, declared.columns, in_order=fit or not declared.types)


def _accepts(port: Port, declared: str) -> bool:
    """Whether an input of the graph accepts a column of this MLflow type."""
    kind = port.dtype.kind
    if kind == "O" or declared == "string":
        return (kind == "O") == (declared == "string")
    allowed = {"float": "f", "double": "f", "integer": "fiu", "long": "fiu"}
    return kind in allowed.get(declared, "bfiu")


def _own_names(names: Sequence[str], columns: Sequence[str], *, in_order: bool) -> list[str]:
    """The columns of MLflow's signature that the graph's inputs were named after, in the graph's order.

    Exporters rename columns that are not identifiers. Names that stay different match in any order. If two
    become equal ("a b" and "a_b" become a_b and a_b1), they match by position, but only if `in_order`: all
    columns are inputs, and their types fit. Columns without an input are ignored.
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
    """The exporter's names for the inputs of these columns, as in `Topology._generate_unique_name`."""
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
        # msgspec's limits are int64, so the upper half of uint64 is not accepted.
        limit = min(int(limits.max), 2**63 - 1)
        return Feature(name, "integer", dtype.name, int(limits.min), limit)
    return (
        Feature(name, "boolean", "bool") if dtype.kind == "b" else Feature(name, "string", "string")
    )


def largest(dtype: np.dtype[Any]) -> float:
    """The largest float64 that is still finite after it is rounded to this dtype.

    It is larger than the dtype's maximum, because other languages print the largest float32 as
    3.4028235e38, which is a little more than its value.
    """
    limits = np.finfo(dtype)
    if dtype.itemsize >= np.dtype(np.float64).itemsize:
        return float(limits.max)
    # The maximum plus half a step is rounded to even, which is infinity.
    half_a_step = 2.0 ** (int(limits.maxexp) - int(limits.nmant) - 2)
    return float(np.nextafter(float(limits.max) + half_a_step, 0.0))
