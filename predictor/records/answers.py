"""What came out of the graph, as answers: labels by name, probabilities by label."""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from predictor.errors import FieldError, InvalidRecord, RequestError
from predictor.signature import Signature, label_name

_BELOW_ZERO = 1e-5  # float32 noise
_AROUND_ONE = 1e-3  # the same, added up over many classes

Prediction = str | int | float | bool | list[float]


class Answer(msgspec.Struct, frozen=True):
    """One row's answer.

    `probability` is that of the prediction; both probability fields are absent where the model
    gives none.
    """

    prediction: Prediction
    probability: float | UnsetType = UNSET
    probabilities: dict[str, float] | UnsetType = UNSET


class Answers(msgspec.Struct, frozen=True):
    """The answers to several rows, as columns; as a sequence, each is made when it is asked for.

    `scores` are the probabilities, one list a row, in the order of the signature's class labels;
    None where the model gives none, or gives them otherwise: then `others` has all answers. A row
    whose numbers are not finite, or whose label is not among the classes, is among the `faults`.
    """

    signature: Signature
    predictions: Sequence[Prediction]
    scores: Sequence[Sequence[float]] | None = None
    others: Sequence[Answer] | None = None
    faults: dict[int, RequestError] = {}

    def __len__(self) -> int:
        """How many rows."""
        return len(self.predictions)

    def __iter__(self) -> Iterator[Answer | RequestError]:
        """Each row's answer, in order."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> Answer | RequestError:
        """The answer to one row, or the error that it gets instead."""
        prediction = self.predictions[row]
        if row in self.faults:
            return self.faults[row]
        if self.others is not None:
            return self.others[row]
        if self.scores is None:
            return Answer(prediction)
        names, scores = self.signature.label_names, self.scores[row]
        column = self.signature.label_columns[prediction]  # type: ignore[index]
        return Answer(prediction, scores[column], dict(zip(names, scores, strict=True)))

    @classmethod
    def of(cls, signature: Signature, each: Sequence[Answer | RequestError]) -> "Answers":
        """Those that were made one by one."""
        faults = {i: answer for i, answer in enumerate(each) if isinstance(answer, RequestError)}
        answers = [Answer("") if isinstance(a, RequestError) else a for a in each]
        return cls(signature, [a.prediction for a in answers], others=answers, faults=faults)


def read_answers(signature: Signature, outputs: Sequence[Any]) -> Answers:
    """One answer per row, from the outputs that `signature.outputs.names` lists, in that order."""
    if signature.outputs.value is not None:
        return _values(signature, outputs[0])
    labels = outputs[0].tolist() if outputs[0].ndim == 1 else np.ravel(outputs[0]).tolist()
    if signature.outputs.probabilities is None:
        return Answers(signature, labels)
    if signature.outputs.mapped:
        answers = Answers.of(signature, [*map(_from_map, labels, outputs[1])])
    else:
        answers = _from_tensor(signature, labels, outputs[1])
    return _proved(answers) if signature.outputs.unproved else answers


def are_probabilities(scores: Iterable[float]) -> bool:
    """Whether one row's scores are chances that add up to one, but for rounding."""
    listed = list(scores)
    return min(listed) >= -_BELOW_ZERO and abs(sum(listed) - 1) <= _AROUND_ONE


def _proved(answers: Answers) -> Answers:
    """The answers, without probabilities where they are none."""
    return Answers.of(answers.signature, [_proved_one(answer) for answer in answers])


def _proved_one(answer: Answer | RequestError) -> Answer | RequestError:
    if isinstance(answer, RequestError) or answer.probabilities is UNSET:
        return answer
    plain = Answer(answer.prediction)
    return answer if are_probabilities(answer.probabilities.values()) else plain


def _values(signature: Signature, output: NDArray[Any]) -> Answers:
    rows = output.reshape(len(output), -1)
    finite = np.isfinite(rows).all(axis=1).tolist()
    values = rows[:, 0].tolist() if rows.shape[1] == 1 else rows.tolist()
    return Answers(signature, values, faults=_not_finite_rows(finite))


def _from_tensor(
    signature: Signature, labels: Sequence[Any], probabilities: NDArray[Any]
) -> Answers:
    scores: list[list[float]] = probabilities.tolist()
    if len(scores) != len(labels):
        raise ValueError(f"{len(labels)} labels, and probabilities of {len(scores)} rows")
    faults: dict[int, RequestError] = {}
    # Cheaper than a look at each number; a sum that only overflows is looked at once more.
    if not isfinite(sum(map(sum, scores))):
        faults = _not_finite_rows([all(map(isfinite, row)) for row in scores])
    if not set(labels) <= signature.label_columns.keys():
        for row, label in enumerate(labels):
            if row not in faults and label not in signature.label_columns:
                faults[row] = _strange(label)
    return Answers(signature, labels, scores, faults=faults)


def _from_map(label: Any, row: dict[Any, float]) -> Answer | RequestError:
    if not all(np.isfinite(p) for p in row.values()):
        return _not_finite()
    if label not in row:
        return _strange(label)
    return Answer(label, float(row[label]), {label_name(k): float(p) for k, p in row.items()})


def _not_finite_rows(finite: Sequence[bool]) -> dict[int, RequestError]:
    return {row: _not_finite() for row, ok in enumerate(finite) if not ok}


# Each row gets an exception of its own: one that is raised again and again keeps every traceback,
# and with it every frame and every servable.
def _not_finite() -> InvalidRecord:
    return _no_answer(
        "the model has no finite answer for this record; a value may be far out of range"
    )


def _strange(label: Any) -> InvalidRecord:
    return _no_answer(f"the model answers {label}, which is not among its class labels")


def _no_answer(reason: str) -> InvalidRecord:
    return InvalidRecord([FieldError("", reason)])
