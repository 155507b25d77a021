"""PythonFunction: what MLmodel says of how MLflow itself would ask a version, and what it would answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import msgspec

from predictor.errors import LoadError

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
