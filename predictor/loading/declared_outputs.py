"""DeclaredOutputs: what MLflow's signature says that a version answers.

MLflow's signature describes what `python_function` answers, which is often less than what the graph
gives. So only what cannot both be true is a contradiction: text from a graph that gives none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from predictor.errors import LoadError
from predictor.signature import Signature

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
        shown = not signature.outputs.unproved  # else shapes are what an exporter declared
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
