"""Reading a signature from a graph's ports, its metadata and MLflow's signature.

The graph decides. Names come from the graph's inputs, from the `feature_names` that our exporter
writes into the graph, or from MLflow's signature; where two of them disagree, the version is
refused, because a number in the wrong column is a wrong answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from predictor.errors import LoadError
from predictor.signature import FLOATS, Feature, Outputs, Port


@dataclass(frozen=True)
class MlflowSignature:
    """The inputs of MLflow's signature: column names, or the width of a tensor, or neither."""

    columns: tuple[str, ...] = ()
    width: int | None = None

    @classmethod
    def read(cls, mlmodel: Mapping[str, Any]) -> "MlflowSignature":
        """From a parsed `MLmodel` file. Raises LoadError where it is there but not readable."""
        text = (mlmodel.get("signature") or {}).get("inputs")
        if not text:
            return cls()
        try:
            inputs = msgspec.json.decode(text, type=list[dict[str, Any]])
            if inputs and inputs[0]["type"] == "tensor" and "name" not in inputs[0]:
                shape = inputs[0]["tensor-spec"]["shape"]
                return cls(width=shape[1] if len(shape) > 1 and shape[1] >= 0 else None)
            return cls(columns=tuple(str(column["name"]) for column in inputs))
        except (msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
            raise LoadError(
                "signature", f"MLmodel's signature is not readable: {error!r}"
            ) from error


def read_features(
    ports: Sequence[Port], feature_names: Sequence[str] | None, declared: MlflowSignature
) -> tuple[Feature, ...]:
    """The features, in the order of the ports' columns.

    Raises LoadError where the graph's inputs, `feature_names` and MLflow's signature disagree.
    """
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
        else _column_names(ports, declared)
    )
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise LoadError("signature", f"two features have the same name: {', '.join(twice)}")
    wide = [port for port in ports for _ in range(port.width or len(names))]
    return tuple(_feature(name, port) for name, port in zip(names, wide, strict=True))


def _tensor_names(
    port: Port, feature_names: Sequence[str] | None, declared: MlflowSignature
) -> list[str]:
    if feature_names and declared.columns and list(feature_names) != list(declared.columns):
        raise LoadError(
            "signature", "the graph's feature_names and MLflow's signature name different columns"
        )
    names = list(feature_names or declared.columns)
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


def _column_names(ports: Sequence[Port], declared: MlflowSignature) -> list[str]:
    names = []
    for port in ports:
        if port.width is None:
            raise LoadError("signature", f"nothing says how many columns input {port.name!r} has")
        names += [port.name] if port.width == 1 else [f"{port.name}_{i}" for i in range(port.width)]
    # An export may have replaced characters that its tools do not like in names.
    by_plain_name = {_plain(column): column for column in declared.columns}
    if declared.columns and set(by_plain_name) != {_plain(name) for name in names}:
        differ = sorted(set(by_plain_name) ^ {_plain(name) for name in names})
        raise LoadError(
            "signature", f"the graph's inputs and MLflow's signature differ in {', '.join(differ)}"
        )
    return [by_plain_name.get(_plain(name), name) for name in names]


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _feature(name: str, port: Port) -> Feature:
    dtype = port.dtype
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        return Feature(name, "number", dtype.name, -limit, limit)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return Feature(name, "integer", dtype.name, int(limits.min), int(limits.max))
    return (
        Feature(name, "boolean", "bool") if dtype.kind == "b" else Feature(name, "string", "string")
    )


def read_outputs(ports: Sequence[Port]) -> Outputs:
    """Tell a classifier's label and probabilities from a regressor's value. Raises LoadError for neither."""
    labels = [
        p
        for p in ports
        if p.type in {"tensor(string)", "tensor(int64)", "tensor(int32)", "tensor(bool)"}
    ]
    maps = [p for p in ports if p.type.startswith("seq(map(")]
    floats = [p for p in ports if p.type in FLOATS]
    if labels:
        wide = [p for p in floats if len(p.shape) == 2]  # noqa: PLR2004
        named = [p for p in wide if "prob" in p.name.lower()] or wide
        scores = (maps or named)[:1]
        return Outputs(labels[0].name, scores[0].name if scores else None, mapped=bool(maps))
    if floats:
        return Outputs(value=floats[0].name)
    raise LoadError("signature", "the graph gives neither a label nor a number")
