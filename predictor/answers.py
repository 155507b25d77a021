"""What came out of the graph, as answers: labels by name, probabilities by label."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from predictor.errors import FieldError, InvalidRecord, RequestError
from predictor.onnx_graph import Labels
from predictor.signature import Signature

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


class NamedAnswer(msgspec.Struct, frozen=True):
    """One row's answer with the version that computed it: the body of `POST /predict`."""

    prediction: Prediction
    probability: float | UnsetType
    probabilities: dict[str, float] | UnsetType
    model_name: str
    model_version: str


class NamedAnswers(msgspec.Struct, frozen=True):
    """Several rows' answers, all from one version: the body of `POST /predict/batch`."""

    predictions: Sequence[Answer]
    model_name: str
    model_version: str


def read_answers(signature: Signature, outputs: Sequence[Any]) -> list[Answer | RequestError]:
    """One answer per row, from the outputs that `signature.outputs.names` lists, in that order.

    A row whose numbers are not finite, or whose label is not among the classes, gets an error
    instead of an answer.
    """
    if signature.outputs.value is not None:
        return _values(outputs[0])
    labels = np.asarray(outputs[0]).reshape(-1).tolist()
    if signature.outputs.probabilities is None:
        return [Answer(label) for label in labels]
    if signature.outputs.mapped:
        answers = [_from_map(label, row) for label, row in zip(labels, outputs[1], strict=True)]
    else:
        answers = _from_tensor(labels, outputs[1], signature.class_labels)
    return [_proved(answer) for answer in answers] if signature.outputs.unproved else answers


def are_probabilities(scores: Iterable[float]) -> bool:
    """Whether one row's scores are chances that add up to one, but for rounding."""
    listed = list(scores)
    return min(listed) >= -_BELOW_ZERO and abs(sum(listed) - 1) <= _AROUND_ONE


def _proved(answer: Answer | RequestError) -> Answer | RequestError:
    if isinstance(answer, RequestError) or answer.probabilities is UNSET:
        return answer
    plain = Answer(answer.prediction)
    return answer if are_probabilities(answer.probabilities.values()) else plain


def _values(output: NDArray[Any]) -> list[Answer | RequestError]:
    rows = output.reshape(len(output), -1)
    finite = np.isfinite(rows).all(axis=1).tolist()
    values = rows[:, 0].tolist() if rows.shape[1] == 1 else rows.tolist()
    return [Answer(v) if ok else _not_finite() for v, ok in zip(values, finite, strict=True)]


def _from_tensor(
    labels: Sequence[Any], probabilities: NDArray[Any], classes: Labels
) -> list[Answer | RequestError]:
    names = [label_name(label) for label in classes]
    columns = {label: i for i, label in enumerate(classes)}
    finite = np.isfinite(probabilities).all(axis=1).tolist()
    answers: list[Answer | RequestError] = []
    for label, row, ok in zip(labels, probabilities.tolist(), finite, strict=True):
        if not ok:
            answers.append(_not_finite())
        elif (column := columns.get(label)) is None:
            answers.append(_strange(label))
        else:
            answers.append(Answer(label, row[column], dict(zip(names, row, strict=True))))
    return answers


def _from_map(label: Any, row: dict[Any, float]) -> Answer | RequestError:
    if not all(np.isfinite(p) for p in row.values()):
        return _not_finite()
    if label not in row:
        return _strange(label)
    return Answer(label, float(row[label]), {label_name(k): float(p) for k, p in row.items()})


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


def label_name(label: str | int | bool) -> str:
    """A class label as a JSON key."""
    return str(label).lower() if isinstance(label, bool) else str(label)
