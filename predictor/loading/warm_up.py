"""Warming up: the first rows, which are the slow ones, show what a graph's outputs mean."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from predictor.errors import LoadError
from predictor.loading.graph_outputs import (
    Claims,
    FirstRuns,
    Given,
    is_served,
    settle,
    with_boolean_classes,
    with_declared_extra,
)
from predictor.loading.onnx_errors import one_line
from predictor.servable import Servable
from predictor.signature import Row, Signature


def first_computed(servable: Servable, rows: Iterable[Row]) -> tuple[Row, LoadError | None]:
    """The first of these rows that the graph computes; where it computes none, the last, and why."""
    row, fault = blank_row(servable.signature), None
    for row in rows:
        try:
            _try(servable, [row])
        except LoadError as error:
            fault = error
        else:
            return row, None
    return row, fault


def warm_up(servable: Servable, recorded: Sequence[Row], row: Row, claims: Claims) -> Servable:
    """The servable that knows what its outputs mean, from `recorded` rows or, without any, from `row`.

    Raises LoadError, with stage `signature`, `warm_up` or `examples`.
    """
    single = [_try(servable, [each]) for each in recorded or [row]]
    runs = FirstRuns(single, _pair(servable, row), recorded=bool(recorded))
    servable = replace(servable, signature=settle(servable.signature, runs, claims))
    _answer_several(servable, [row] * 2)
    return servable


def unproved(servable: Servable, error: LoadError) -> Servable:
    """The servable whose graph refuses every row of ours: "" or 0 need not be a category that it knows.

    Raises `error` where the answers to come could not be read without a row that runs.
    """
    signature = with_boolean_classes(with_declared_extra(servable.signature))
    if signature.outputs.probabilities and not (signature.outputs.mapped or signature.class_labels):
        raise error
    # No run has shown which axis is that of the rows, so each is computed alone.
    outputs = replace(signature.outputs, unproved=True)
    return replace(servable, signature=replace(signature, outputs=outputs, coupled=True))


def _answer_several(servable: Servable, rows: Sequence[Row]) -> None:
    try:
        answers = servable.answer(rows)
    except Exception as error:
        raise LoadError("warm_up", f"its outputs cannot be read: {one_line(error)}") from error
    if len(answers) != len(rows):
        raise LoadError("warm_up", f"{len(rows)} rows get {len(answers)} answers")


def _pair(servable: Servable, row: Row) -> Given | None:
    """What two rows together give; None where the graph takes one at a time."""
    if servable.signature.one_row_at_a_time:
        return None
    try:
        return _try(servable, [row, row])
    except LoadError:
        return None


def _try(servable: Servable, rows: Sequence[Row]) -> Given:
    """All outputs of the graph for these rows, by name."""
    names = [port.name for port in servable.signature.results if is_served(port)]
    try:
        outputs = servable.compute(names, servable.signature.feed(rows))
    except Exception as error:
        raise LoadError("warm_up", f"ONNX Runtime cannot run it: {one_line(error)}") from error
    return dict(zip(names, outputs, strict=True))


def blank_row(signature: Signature) -> Row:
    """A row that means nothing, for a graph that came without examples."""
    return tuple(feature.blank for feature in signature.features)
