"""Output: the one number of an answer that is explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.explanation.explanation_errors import NotExplainable
from predictor.records.answers import Answer, by_row
from predictor.signature import Signature, label_name

_VALUE = "prediction"  # what the answers of regressors call it


@dataclass(frozen=True)
class Output:
    """The probability of the class `label`, or a regressor's value where that is None."""

    signature: Signature
    label: str | None

    @classmethod
    def of(cls, signature: Signature, answer: Answer) -> "Output":
        """The positive class, where there is one; else the class that was predicted.

        Raises NotExplainable where the answer has no number, or several.
        """
        if signature.outputs.value is not None:
            if isinstance(answer.prediction, list):
                raise NotExplainable("this version gives several numbers for a record, not one")
            return cls(signature, None)
        if isinstance(answer.prediction, list):
            raise NotExplainable("this version gives several classes for a record, not one")
        if answer.probabilities is msgspec.UNSET:
            raise NotExplainable("this version gives a class without probabilities")
        predicted = label_name(answer.prediction)  # type: ignore[arg-type]
        return cls(signature, signature.positive_class or predicted)

    @property
    def name(self) -> str:
        """What the explanation calls it."""
        return _VALUE if self.label is None else self.label

    @property
    def names(self) -> list[str]:
        """The graph's outputs that it is read from."""
        outputs = self.signature.outputs
        name = outputs.probabilities if self.label is not None else outputs.value
        return [name] if name is not None else []

    def of_answer(self, answer: Answer) -> float:
        """The number in one answer."""
        if self.label is None:
            return float(answer.prediction)  # type: ignore[arg-type]
        assert answer.probabilities  # noqa: S101  see `of`
        return answer.probabilities[self.label]

    def read(self, outputs: Sequence[Any]) -> NDArray[np.float64]:
        """The numbers [N], from what ONNX Runtime gives for `names`."""
        (given,) = outputs
        if self.label is None:
            return by_row(given, self.signature.outputs.axis)[:, 0].astype(np.float64)
        if self.signature.outputs.mapped:
            named = ({label_name(k): p for k, p in row.items()} for row in given)
            return np.array([row[self.label] for row in named], np.float64).clip(0, 1)
        column = self.signature.label_names.index(self.label)
        table = np.reshape(given, (len(given), -1)).astype(np.float64).clip(0, 1)
        if table.shape[1] < len(self.signature.label_names):  # of the second of two classes
            return table[:, 0] if column else 1 - table[:, 0]
        return table[:, column]
