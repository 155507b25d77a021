"""Answers: turn the graph's outputs into predictions, probabilities by class, and other outputs by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from numpy.typing import NDArray

from predictor.errors import FieldError, InvalidRecord, NotFinite, RequestError
from predictor.model.signature import ExtraOutput, Signature, label_name

_ROUNDING = 1e-4  # below 0: error of a float32 sum over a forest's trees
_AROUND_ONE = 1e-3  # from 1: error of a float32 sum over many classes
_FEW = 16  # numbers: for more, NumPy is faster than Python
_ONE = np.float32(1).view(np.uint32)

Label = str | int | bool
Prediction = str | int | float | bool | list[float] | list[Label]


class Answer(msgspec.Struct, frozen=True):
    """What a servable computes for one row.

    `probability` is that of the prediction; both probability fields are UNSET if the model has no
    probabilities. `outputs` are the graph's other outputs by name, each a value or a (nested) list; UNSET
    if there are none.
    """

    prediction: Prediction
    probability: float | UnsetType = UNSET
    probabilities: dict[str, float] | UnsetType = UNSET
    outputs: dict[str, Any] | UnsetType = UNSET


class Answers(msgspec.Struct, frozen=True):
    """The answers to several rows, stored as columns. Indexing creates the answer or error of a row.

    `scores` are the probabilities, one list per row, in the order of the signature's class labels;
    None if the model has no probabilities, or if `answers` has the answers already. `outputs` are the
    graph's other outputs by name, one value per row. `errors` are by row index: the row's numbers are not
    finite, or its label is not one of the classes.
    """

    signature: Signature
    predictions: Sequence[Prediction]
    scores: Sequence[Sequence[float]] | None = None
    answers: Sequence[Answer] | None = None
    errors: dict[int, RequestError] = {}
    outputs: Mapping[str, Sequence[Any]] = {}

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.predictions)

    def __iter__(self) -> Iterator[Answer | RequestError]:
        """Each row's answer, in order."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> Answer | RequestError:
        """The answer to one row, or its error."""
        if row in self.errors:
            return self.errors[row]
        answer = self._main(row)
        if not self.outputs:
            return answer
        more = {name: values[row] for name, values in self.outputs.items()}
        return replace(answer, outputs={**(answer.outputs or {}), **more})

    def _main(self, row: int) -> Answer:
        prediction = self.predictions[row]
        if self.answers is not None:
            return self.answers[row]
        if self.scores is None:
            return Answer(prediction)
        names, scores = self.signature.label_names, self.scores[row]
        column = self.signature.label_columns[prediction]  # type: ignore[index]
        return Answer(prediction, scores[column], dict(zip(names, scores, strict=True)))

    def part(self, start: int, stop: int) -> "Answers":
        """The answers to some of the rows."""
        if start == 0 and stop >= len(self):
            return self
        return Answers(
            self.signature,
            self.predictions[start:stop],
            None if self.scores is None else self.scores[start:stop],
            None if self.answers is None else self.answers[start:stop],
            {row - start: e for row, e in self.errors.items() if start <= row < stop},
            {name: values[start:stop] for name, values in self.outputs.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence["Answers"]) -> "Answers":
        """The answers of several calls, of one servable, as one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        if any(part.answers is not None for part in parts):
            return cls.of(first.signature, [answer for part in parts for answer in part])
        starts = accumulate((len(part) for part in parts), initial=0)
        return cls(
            first.signature,
            _chained(part.predictions for part in parts),
            None if first.scores is None else _chained(part.scores or () for part in parts),
            errors={
                start + row: error
                for start, part in zip(starts, parts, strict=False)
                for row, error in part.errors.items()
            },
            outputs={
                name: _chained(part.outputs[name] for part in parts)
                for name in first.outputs
                if all(name in part.outputs for part in parts)
            },
        )

    @classmethod
    def of(cls, signature: Signature, each: Sequence[Answer | RequestError]) -> "Answers":
        """From the answer or error of each row."""
        errors = {i: answer for i, answer in enumerate(each) if isinstance(answer, RequestError)}
        answers = [Answer("") if isinstance(a, RequestError) else a for a in each]
        return cls(signature, [a.prediction for a in answers], answers=answers, errors=errors)


def _chained(parts: Iterable[Sequence[Any]]) -> list[Any]:
    return [*chain.from_iterable(parts)]


def read_answers(signature: Signature, outputs: Sequence[Any]) -> Answers:
    """One answer per row, from the outputs that `signature.outputs.names` lists, in that order."""
    read = signature.outputs
    if read.label is not None:
        answers = _labelled(signature, outputs)
    elif read.value is not None:
        answers = _values(signature, outputs[0])
    else:
        answers = _most_probable(signature, outputs[0])
    if read.extra:
        return _with_extra(answers, read.extra, outputs[len(read.main) :])
    return answers


def are_probabilities(scores: Iterable[float]) -> bool:
    """Whether one row's scores are probabilities that add up to one, except for rounding."""
    return bool(_are_probabilities(np.array([list(scores)], np.float64))[0])


def _labelled(signature: Signature, outputs: Sequence[Any]) -> Answers:
    read = signature.outputs
    given = outputs[0]
    labels = given.tolist() if given.ndim == 1 else _labels(given, read.axis)
    if labels and isinstance(labels[0], list):
        return Answers(signature, labels)
    if read.indexed:
        labels = _by_index(signature, labels)
    if read.probabilities is None:
        listed = signature.class_labels
        return Answers(
            signature, labels, errors=_unknown_labels(signature, labels) if listed else {}
        )
    if read.mapped:
        answers = Answers.of(signature, [*map(_from_map, labels, outputs[1])])
    else:
        answers = _from_tensor(signature, labels, outputs[1])
    return _verified(answers) if read.unverified else answers


def _labels(output: NDArray[Any], axis: int) -> list[Any]:
    """One label per row, or a list of labels if there are several targets."""
    rows = by_row(output, axis)
    labels: list[Any] = (rows[:, 0] if rows.shape[1] == 1 else rows).tolist()
    return labels


def by_row(output: NDArray[Any], axis: int) -> NDArray[Any]:
    """An output as [N, …]: all of a row's values in one dimension."""
    table = np.moveaxis(output, axis, 0)
    return table.reshape(len(table), -1)


def _by_index(signature: Signature, indices: Sequence[int]) -> list[Label]:
    """The class labels at these indices; an index out of range is kept, and later becomes an error."""
    labels = signature.class_labels
    return [labels[index] if 0 <= index < len(labels) else index for index in indices]


def _most_probable(signature: Signature, probabilities: NDArray[Any]) -> Answers:
    """Answers from probabilities alone: [N, C], or [N] or [N, 1] for the second of two classes."""
    table = probabilities.reshape(len(probabilities), -1)
    if table.shape[1] == 1 and len(signature.class_labels) > 1:
        table = np.hstack([1 - table, table])
    labels = _by_index(signature, table.argmax(axis=1).tolist())
    return _from_tensor(signature, labels, table)


def _verified(answers: Answers) -> Answers:
    """The answers; scores that are not probabilities are moved to the outputs."""
    return Answers.of(answers.signature, [_verified_answer(answers.signature, a) for a in answers])


def _verified_answer(signature: Signature, answer: Answer | RequestError) -> Answer | RequestError:
    if isinstance(answer, RequestError) or answer.probabilities is UNSET:
        return answer
    scores = answer.probabilities
    if are_probabilities(scores.values()):
        return answer
    scores_as_output = scores if signature.outputs.mapped else [*scores.values()]
    return Answer(
        answer.prediction, outputs={str(signature.outputs.probabilities): scores_as_output}
    )


def _values(signature: Signature, output: NDArray[Any]) -> Answers:
    rows = by_row(output, signature.outputs.axis)
    finite = np.isfinite(rows).all(axis=1).tolist()
    values = rows[:, 0].tolist() if rows.shape[1] == 1 else rows.tolist()
    return Answers(signature, values, errors=_not_finite_rows(finite))


def _from_tensor(
    signature: Signature, labels: Sequence[Any], probabilities: NDArray[Any]
) -> Answers:
    scores: list[list[float]] = probabilities.tolist()
    if len(scores) != len(labels):
        raise ValueError(f"{len(labels)} labels, and probabilities of {len(scores)} rows")
    errors: dict[int, RequestError] = {}
    if not _are_within_bounds(probabilities, scores):
        read = signature.outputs
        scores, errors = _clipped(
            probabilities, unverified=read.unverified and read.label is not None
        )
    if not set(labels) <= signature.label_columns.keys():
        errors = {**_unknown_labels(signature, labels), **errors}
    return Answers(signature, labels, scores, errors=errors)


def _are_within_bounds(probabilities: NDArray[Any], scores: list[list[float]]) -> bool:
    """Whether all scores are finite and in [0, 1]."""
    if probabilities.size <= _FEW:
        return all([0 <= score <= 1 for row in scores for score in row])  # noqa: C419  quicker
    if probabilities.dtype == np.float32:
        # As unsigned integers, the bits of negative numbers, infinity and NaN are all above those of 1.
        return bool(np.max(probabilities.view(np.uint32)) <= _ONE)
    return bool(probabilities.min() >= 0 and probabilities.max() <= 1)  # both are false for NaN


def _clipped(
    probabilities: NDArray[Any], *, unverified: bool
) -> tuple[list[list[float]], dict[int, RequestError]]:
    """The probabilities, clipped to [0, 1]; and errors of rows that are outside by more than rounding.

    If they are `unverified`, only rows that are not finite get an error.
    """
    finite = np.isfinite(probabilities).all(axis=1)
    proper = _are_probabilities(probabilities)
    errors = _not_finite_rows(finite.tolist())
    if not unverified:
        with np.errstate(invalid="ignore"):
            outside = (probabilities.min(axis=1) < 0) | (probabilities.max(axis=1) > 1)
        refused = np.flatnonzero(finite & outside & ~proper).tolist()
        errors |= {row: _out_of_bounds() for row in refused}
    clipped = np.where(proper[:, None], probabilities.clip(0, 1), probabilities)
    return clipped.tolist(), errors


def _are_probabilities(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row of [N, C] has probabilities that add up to one, except for rounding: bool [N]."""
    with np.errstate(all="ignore"):  # comparisons with NaN are false
        near_one = np.abs(scores.sum(axis=1, dtype=np.float64) - 1) <= _AROUND_ONE
    within = (scores.min(axis=1) >= -_ROUNDING) & (scores.max(axis=1) <= 1 + _AROUND_ONE)
    return np.asarray(near_one & within)


def _from_map(label: Any, row: dict[Any, float]) -> Answer | RequestError:
    scores = [float(p) for p in row.values()]
    if not all(map(isfinite, scores)):
        return NotFinite()
    if label not in row:
        return _unknown_label(label)
    if (min(scores) < 0 or max(scores) > 1) and are_probabilities(scores):
        scores = [min(max(p, 0.0), 1.0) for p in scores]
    named = dict(zip(map(label_name, row), scores, strict=True))
    return Answer(label, named[label_name(label)], named)


def _with_extra(answers: Answers, extra: Sequence[ExtraOutput], given: Sequence[Any]) -> Answers:
    rows = {
        each.name: values
        for each, output in zip(extra, given, strict=True)
        if (values := _rows_of(output, each.axis)) is not None and len(values) == len(answers)
    }
    return replace(answers, outputs=rows)


def _rows_of(output: Any, axis: int) -> list[Any] | None:
    """An output's rows as Python values, scalars for [N, 1]; None if it has no rows."""
    if isinstance(output, list):
        each = [part.tolist() if isinstance(part, np.ndarray) else part for part in output]
        if axis == 0:
            return [_with_text_keys(part) for part in each]
        return [list(row) for row in zip(*each, strict=True)]
    table = np.moveaxis(output, axis, 0) if output.ndim > axis else output
    if table.ndim == 0:
        return None
    rows: list[Any] = (table[:, 0] if table.shape[1:] == (1,) else table).tolist()
    return rows


def _with_text_keys(part: Any) -> Any:
    return {label_name(k): v for k, v in part.items()} if isinstance(part, dict) else part


def _not_finite_rows(finite: Sequence[bool]) -> dict[int, RequestError]:
    return {row: NotFinite() for row, ok in enumerate(finite) if not ok}


def _unknown_labels(signature: Signature, labels: Sequence[Any]) -> dict[int, RequestError]:
    known = signature.label_columns
    return {row: _unknown_label(label) for row, label in enumerate(labels) if label not in known}


# Each row gets a new exception: an exception that is raised again keeps all its tracebacks, with their
# frames and servables.
def _unknown_label(label: Any) -> InvalidRecord:
    return _no_answer(f"the model predicts {label}, which is not among its class labels")


def _out_of_bounds() -> InvalidRecord:
    return _no_answer(
        "the model's probabilities for this record are outside [0, 1] or do not add up to 1"
    )


def _no_answer(reason: str) -> InvalidRecord:
    return InvalidRecord([FieldError("", reason)])
