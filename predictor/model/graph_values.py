"""The graph's outputs by name, from answers: for the protocols that name outputs as the graph does."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from msgspec import UNSET

from predictor.model.answers import Answer, Answers
from predictor.model.signature import Signature


def graph_columns(signature: Signature, answers: Answers) -> dict[str, Sequence[Any]]:
    """The outputs by name: for each row its value as in `graph_row`, or None if it has none.

    No row may have an error.
    """
    if answers.answers is not None:
        each: Any = answers
        rows = [graph_row(signature, answer) for answer in each]
        names = dict.fromkeys(chain.from_iterable(rows))
        return {name: [row.get(name) for row in rows] for name in names}
    read = signature.outputs
    columns: dict[str, Sequence[Any]] = {}
    if read.label is not None:
        labels = answers.predictions
        columns[read.label] = (
            [_label_value(signature, label) for label in labels] if read.indexed else labels
        )
    if read.probabilities is not None and answers.scores is not None:
        scores: Sequence[Any] = answers.scores
        if _is_one_column(signature):
            scores = [row[-1] for row in scores]
        columns[read.probabilities] = scores
    if read.value is not None:
        columns[read.value] = answers.predictions
    columns |= answers.outputs
    return {
        name: _shaped_column(values, signature.result(name).shape)
        for name, values in columns.items()
    }


def graph_row(signature: Signature, answer: Answer) -> dict[str, Any]:
    """The graph's outputs for one row by name: values, or lists nested in the shape of the output.

    Probabilities in a map are a dict. Outputs that `answer` does not have are absent.
    """
    read = signature.outputs
    row: dict[str, Any] = {}
    if read.label is not None:
        label = answer.prediction
        row[read.label] = _label_value(signature, label)
    if read.probabilities is not None and answer.probabilities is not UNSET:
        by_label = answer.probabilities
        scores = [*by_label.values()]
        one = scores[-1] if _is_one_column(signature) else scores
        row[read.probabilities] = by_label if read.mapped else one
    if read.value is not None:
        row[read.value] = answer.prediction
    row |= answer.outputs or {}
    return {name: _shaped(value, signature.result(name).shape) for name, value in row.items()}


def _label_value(signature: Signature, label: Any) -> Any:
    """The value of the label output for a class: the label itself, or its index."""
    read = signature.outputs
    if not read.indexed:
        return label
    column = signature.label_columns[label]
    return bool(column) if signature.result(str(read.label)).type == "tensor(bool)" else column


def _shaped(value: Any, shape: Sequence[int | None]) -> Any:
    """One row's flat value as lists in the shape of the output."""
    if not isinstance(value, list):
        return [value] if len(shape) == 2 else value  # noqa: PLR2004
    inner = [-1 if each is None else each for each in shape[1:]]
    nested = bool(value) and isinstance(value[0], list)
    if len(inner) < 2 or nested or inner.count(-1) > 1:  # noqa: PLR2004
        return value
    if -1 not in inner and prod(inner) != len(value):
        return value
    return np.array(value, object).reshape(inner).tolist()


def _shaped_column(values: Sequence[Any], shape: Sequence[int | None]) -> Sequence[Any]:
    """The values of all rows, as `_shaped` makes each of them."""
    if len(shape) < 2 or (len(shape) == 2 and isinstance(values[0], list)):  # noqa: PLR2004
        return values  # they have this shape already
    return [_shaped(value, shape) for value in values]


def _is_one_column(signature: Signature) -> bool:
    """Whether the graph has only the probability of the second of two classes."""
    read = signature.outputs
    return read.label is None and signature.result(str(read.probabilities)).width == 1
