"""Warming up: the first rows, which are the slow ones, show what a graph's outputs mean."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.onnx_graph import Labels
from predictor.servable import Servable, one_line
from predictor.signature import Row, Signature

_TOLERANCE = 1e-5  # absolute, below zero
_SUM_TOLERANCE = 1e-3  # absolute, around one


def warm_up(servable: Servable, rows: Sequence[Row]) -> Servable:
    """The servable that knows what its outputs mean. Without `rows`, a blank one is run.

    Raises LoadError, with stage `signature` or `warm_up`.
    """
    signature = servable.signature
    rows = list(rows) or [_blank_row(signature)]
    tried = [_try(servable, row) for row in rows]
    if signature.outputs.label is not None and any(np.size(outputs[0]) != 1 for outputs in tried):
        raise LoadError("signature", "the model gives several labels for one row; one is served")
    if signature.outputs.probabilities is not None:
        signature = _settled(signature, tried)
    servable = replace(servable, signature=signature)
    _answer_several(servable, rows[:1] * 2)
    return servable


def _settled(signature: Signature, tried: Sequence[Sequence[Any]]) -> Signature:
    """The signature with what the scores of the first rows tell of them."""
    mapped = signature.outputs.mapped
    scores = [
        list(outputs[1][0].values()) if mapped else outputs[1].reshape(-1) for outputs in tried
    ]
    if not _are_probabilities(np.array(scores)):
        # Scores of a model without probabilities (a linear SVM's margins): the label answers alone.
        return replace(signature, outputs=replace(signature.outputs, probabilities=None))
    labels = [np.ravel(outputs[0]).tolist()[0] for outputs in tried]
    if mapped:
        named: Labels = tuple(tried[0][1][0])
    else:
        named = signature.class_labels or _numbered(np.array(scores), labels)
    _check_labels(named, len(scores[0]), labels)
    return signature if mapped else replace(signature, class_labels=named)


def _are_probabilities(scores: NDArray[Any]) -> bool:
    far = abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE
    return not ((scores < -_TOLERANCE).any() or far.any())


def _answer_several(servable: Servable, rows: Sequence[Row]) -> None:
    try:
        answers = servable.answer(rows)
    except Exception as error:
        raise LoadError("warm_up", f"its outputs cannot be read: {one_line(error)}") from error
    if len(answers) != len(rows):
        raise LoadError("warm_up", f"{len(rows)} rows get {len(answers)} answers")


def _try(servable: Servable, row: Row) -> Sequence[Any]:
    try:
        outputs: Sequence[Any] = servable.session.run(
            servable.signature.outputs.names, servable.signature.feed([row])
        )
    except Exception as error:
        raise LoadError("warm_up", f"ONNX Runtime cannot run it: {one_line(error)}") from error
    return outputs


def _blank_row(signature: Signature) -> Row:
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
