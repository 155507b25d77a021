"""Warming up: the first rows, which are the slow ones, show what a graph's outputs mean."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.loading.onnx_errors import one_line
from predictor.loading.onnx_graph import Labels
from predictor.records.answers import are_probabilities
from predictor.servable import Servable
from predictor.signature import Row, Signature


def first_computed(servable: Servable, rows: Iterable[Row]) -> tuple[Row, LoadError | None]:
    """The first of these rows that the graph computes; where it computes none, the last, and why."""
    row, fault = blank_row(servable.signature), None
    for row in rows:
        try:
            _try(servable, row)
        except LoadError as error:
            fault = error
        else:
            return row, None
    return row, fault


def warm_up(servable: Servable, recorded: Sequence[Row], row: Row) -> Servable:
    """The servable that knows what its outputs mean, from `recorded` rows or, without any, from `row`.

    Raises LoadError, with stage `signature` or `warm_up`.
    """
    signature = servable.signature
    tried = [_try(servable, each) for each in recorded or [row]]
    if signature.outputs.label is not None and any(np.size(outputs[0]) != 1 for outputs in tried):
        raise LoadError("signature", "the model gives several labels for one row; one is served")
    if signature.outputs.probabilities is not None:
        scores = [_scores(signature, outputs) for outputs in tried]
        if endless := [n for n, each in enumerate(scores, 1) if not np.isfinite(each).all()]:
            return _not_finite(servable, endless[0] if recorded else None)
        signature = _settled(signature, scores, tried)
    servable = replace(servable, signature=signature)
    _answer_several(servable, [row] * 2)
    return servable


def unproved(servable: Servable, error: LoadError) -> Servable:
    """The servable whose graph refuses every row of ours: "" or 0 need not be a category that it knows.

    Raises `error` where the answers to come could not be read without a row that runs.
    """
    signature = servable.signature
    if signature.outputs.probabilities and not (signature.outputs.mapped or signature.class_labels):
        raise error
    return replace(
        servable, signature=replace(signature, outputs=replace(signature.outputs, unproved=True))
    )


def _not_finite(servable: Servable, example: int | None) -> Servable:
    """The servable whose scores of a blank row are not finite, which says nothing of real rows."""
    if example is not None:
        raise LoadError("examples", f"recorded example {example} fails: it has no finite answer")
    return unproved(servable, LoadError("warm_up", "a blank row has no finite answer"))


def _scores(signature: Signature, outputs: Sequence[Any]) -> NDArray[Any]:
    """The scores of one row, as numbers [classes]."""
    mapped = signature.outputs.mapped
    return np.array(list(outputs[1][0].values())) if mapped else np.reshape(outputs[1], -1)


def _settled(
    signature: Signature, scores: Sequence[NDArray[Any]], tried: Sequence[Sequence[Any]]
) -> Signature:
    """The signature with what the scores of the first rows tell of them."""
    mapped = signature.outputs.mapped
    if not all(are_probabilities(row) for row in np.array(scores).tolist()):
        # Scores of a model without probabilities (a linear SVM's margins): the label answers alone.
        return replace(signature, outputs=replace(signature.outputs, probabilities=None))
    labels = [np.ravel(outputs[0]).tolist()[0] for outputs in tried]
    if mapped:
        named: Labels = tuple(tried[0][1][0])
    else:
        named = signature.class_labels or _numbered(np.array(scores), labels)
    _check_labels(named, len(scores[0]), labels)
    return signature if mapped else replace(signature, class_labels=named)


def _answer_several(servable: Servable, rows: Sequence[Row]) -> None:
    try:
        answers = servable.answer(rows)
    except Exception as error:
        raise LoadError("warm_up", f"its outputs cannot be read: {one_line(error)}") from error
    if len(answers) != len(rows):
        raise LoadError("warm_up", f"{len(rows)} rows get {len(answers)} answers")


def _try(servable: Servable, row: Row) -> Sequence[Any]:
    try:
        return servable.run([row])
    except Exception as error:
        raise LoadError("warm_up", f"ONNX Runtime cannot run it: {one_line(error)}") from error


def blank_row(signature: Signature) -> Row:
    """A row that means nothing, for a graph that came without examples."""
    return tuple(feature.blank for feature in signature.features)


def _numbered(scores: NDArray[Any], labels: Sequence[Any]) -> Labels:
    """Classes that nothing lists are 0, 1, …, if the likeliest of them is what the model answers."""
    if np.argmax(scores, axis=1).tolist() != labels:
        raise LoadError(
            "signature",
            "nothing says which class each probability column is of; "
            "write class_labels into the graph's metadata",
        )
    return tuple(range(scores.shape[1]))


def _check_labels(named: Labels, width: int, labels: Sequence[Any]) -> None:
    if len(named) != width:
        raise LoadError("signature", f"{len(named)} class labels for {width} probability columns")
    if strange := {str(label) for label in labels if label not in named}:
        raise LoadError(
            "signature",
            f"the model answers {', '.join(sorted(strange))}, which is not among its class labels",
        )
