"""The number of an answer that is explained, and its values for mixtures of a record with the background."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.errors import FieldError, InferenceTimeout, InvalidRecord
from predictor.model.answers import Answer, by_row
from predictor.model.onnx_errors import one_line
from predictor.model.servable import Servable
from predictor.model.signature import Signature, label_name
from predictor.protocols.explain.sampling import (
    Feed,
    Floats,
    Integers,
    Mask,
    Mixtures,
    NotExplainable,
    NotInTime,
)

_VALUE = "prediction"  # its name in a regressor's response


@dataclass(frozen=True)
class Output:
    """The probability of the class `label`, or a regressor's value where that is None."""

    signature: Signature
    label: str | None

    @classmethod
    def of(cls, signature: Signature, answer: Answer) -> "Output":
        """The positive class, if there is one; else the predicted class.

        Raises NotExplainable if the answer has no number, or several.
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
        """Its name in the explanation."""
        return _VALUE if self.label is None else self.label

    @property
    def names(self) -> list[str]:
        """The outputs of the graph that contain it."""
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
        """The numbers [N], from ONNX Runtime's values of `names`."""
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


Clock = Callable[[], float]


class Mixed:
    """Computes mixtures of one record with the background of its servable."""

    def __init__(
        self, servable: Servable, output: Output, record: Feed, background: Feed,
        *, seconds: float, clock: Clock = perf_counter,
    ) -> None:  # fmt: skip
        """The time limit, `seconds`, starts now."""
        self._servable = servable
        self._output = output
        self._mixtures = Mixtures(record, background)
        self._seconds = seconds
        self._clock = clock
        self._started = clock()

    def __call__(self, taken: Mask, sources: Integers) -> Floats:
        """The answers [N], as `sampling.Compute`.

        Raises NotInTime; or InvalidRecord if the model has no finite answer for one of them.
        """
        if self._clock() - self._started > self._seconds:
            raise NotInTime(self._seconds)
        feed = self._mixtures.feed(taken, sources)
        single = self._servable.signature.one_row_at_a_time
        parts = [feed]
        if single:
            rows = range(len(sources))
            parts = [{port: each[row : row + 1] for port, each in feed.items()} for row in rows]
        try:
            given = [self._servable.compute(self._output.names, part) for part in parts]
        except InferenceTimeout:
            raise
        except Exception as error:  # ONNX Runtime raises a dozen types, all its own
            raise _refused(f"fails: {one_line(error)}") from error
        answers = np.concatenate([self._output.read(outputs) for outputs in given])
        if not np.isfinite(answers).all():
            raise _refused("has no finite answer")
        return answers


def _refused(what: str) -> InvalidRecord:
    mixed = "this record with some features replaced by those of background rows"
    return InvalidRecord([FieldError("", f"it cannot be explained: the model {what} for {mixed}")])
