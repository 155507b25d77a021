"""Observed outputs: run first rows, and read shapes, probabilities and class labels from their outputs.

Exporters declare wrong shapes (`[None, 1]` for several targets, `[None, 2]` for one margin), and only
values show whether scores are probabilities. Therefore the observed outputs replace the declared ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.model.answers import are_probabilities
from predictor.model.graph import Labels
from predictor.model.graph_outputs import (
    is_served,
    prefer_named,
    read_outputs,
    score_candidates,
    with_boolean_classes,
)
from predictor.model.signature import FLOATS, ExtraOutput, Outputs, Port, Signature

Given = Mapping[str, Any]
"""The outputs of one run, by name."""

_NEAR_ONE = 1e-3  # difference between a row's sum and one
_ROUNDING = 1e-2  # difference between float32 sums in another order, with cancellation
_PROBABILITIES = {"Softmax", "Sigmoid"}  # operators
_Scored = tuple[Signature, Sequence[NDArray[Any]]]
"""A signature that takes probabilities from one output, and that output's first rows."""

_CLASSES_WANTED = (
    "output {!r} looks like probabilities; write class_labels into the graph's metadata to serve the "
    "version as a classifier"
)
_LIST_WANTED = (
    "the classes of output {!r} are not listed, so metrics count all predictions as `other`; write "
    "class_labels into the graph's metadata"
)
_ONE_WANTED = (
    "outputs {} all look like probabilities, so responses have them under `outputs`; rename one of them "
    "to `probabilities` to serve it as the probabilities"
)
_MIXES_ROWS = (
    "the outputs of a row differ when it is computed together with another row, so each row is computed "
    "alone, which is slow; a layer may mix rows, or be random as in training"
)


@dataclass(frozen=True)
class FirstRuns:
    """The outputs of the first rows: each alone, and two in one call (None if the graph takes one row).

    `recorded` means that the rows are recorded examples, not generated ones.
    """

    single: Sequence[Given]
    pair: Given | None
    recorded: bool


@dataclass(frozen=True)
class GraphClaims:
    """What the graph declares about its outputs.

    `class_labels` are from its metadata; `operators` are the types of the nodes that compute the outputs,
    by output name.
    """

    class_labels: Labels = ()
    operators: Mapping[str, str] = field(default_factory=dict)


def observe_outputs(signature: Signature, runs: FirstRuns, claims: GraphClaims) -> Signature:
    """The signature with the observed outputs, shapes and class labels.

    Raises LoadError (stage `signature`, `warm_up`, or `examples` for recorded rows without a finite
    answer).
    """
    declared = claims.class_labels
    observed = [_observed(port, runs) for port in signature.results]
    ports = tuple(port for port, _ in observed)
    axes = {port.name: axis for port, axis in observed if axis is not None}
    by_row = [port for port in ports if port.name in axes]
    if not by_row:
        raise LoadError("warm_up", "no output of the graph has one entry for each row")
    read = read_outputs(by_row, declared)
    signature = replace(signature, results=ports, outputs=read)
    first = [port for port in by_row if axes[port.name] == 0]
    if read.label is not None:
        signature = _classifier(signature, first, runs, declared)
    elif declared:
        signature = _classifier_without_label(signature, first, runs)
    signature = _with_axes(signature, axes)
    signature = with_boolean_classes(signature)
    mixes_rows = _mixes_rows(signature, runs)
    hints: tuple[str, ...] = (_MIXES_ROWS,) if mixes_rows else ()
    hints += _classes_wanted(signature, runs, claims.operators)
    return replace(signature, mixes_rows=mixes_rows, hints=signature.hints + hints)


def _mixes_rows(signature: Signature, runs: FirstRuns) -> bool:
    """Whether a row's outputs in a call of two rows differ from those alone, by more than rounding."""
    if runs.pair is None:
        return False
    for name in signature.outputs.names:
        one, two = runs.single[0][name], runs.pair[name]
        if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
            continue
        alone = one.repeat(2, axis=signature.outputs.axis_of(name))
        if not np.allclose(alone, two, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True):
            return True
    return False


def _observed(port: Port, runs: FirstRuns) -> tuple[Port, int | None]:
    """The output with its observed shape, and the axis of its rows (None if it has no rows)."""
    one = runs.single[0].get(port.name)
    two = None if runs.pair is None else runs.pair.get(port.name)
    if isinstance(one, np.ndarray):
        shape, other = one.shape, two.shape if isinstance(two, np.ndarray) else None
        axis = _axis(shape, other)
        return replace(port, shape=_observed_shape(port.shape, shape, other, axis)), axis
    if not isinstance(one, list) or not one:
        return port, None
    if isinstance(one[0], dict):
        return port, _axis((len(one),), None if two is None else (len(two),))
    return _observed_sequence(port, one, two)


def _observed_sequence(
    port: Port, one: list[Any], two: list[Any] | None
) -> tuple[Port, int | None]:
    """As `_observed`, for a sequence of tensors: one per row, or one per target."""
    if two is not None and (len(one), len(two)) == (1, 2):
        return replace(port, shape=()), 0
    longer = two if two is not None and len(two) == len(one) else [None] * len(one)
    for first, second in zip(one, longer, strict=True):
        if _axis(first.shape, None if second is None else second.shape) != 0:
            return port, None
    inner = {each.shape[1:] for each in one}
    # Targets with different numbers of classes have no common shape.
    return replace(port, shape=(len(one), None, *inner.pop()) if len(inner) == 1 else ()), 1


def _axis(one: tuple[int, ...], two: tuple[int, ...] | None) -> int | None:
    if two is None:
        return 0 if one[:1] == (1,) else None
    for axis in (0, 1):
        # If another dimension grows too, the output compares rows, such as a covariance.
        if one[axis : axis + 1] == (1,) and two == (*one[:axis], 2, *one[axis + 1 :]):
            return axis
    return None


def _observed_shape(
    declared: Sequence[int | None],
    one: tuple[int, ...],
    two: tuple[int, ...] | None,
    axis: int | None,
) -> tuple[int | None, ...]:
    """The observed shape; a dimension that varies, or is not declared as fixed, is None."""
    known = declared if len(declared) == len(one) else (None,) * len(one)
    second = two if two is not None and len(two) == len(one) else one
    return tuple(
        None if place == axis or size is None or first != other else first
        for place, (size, first, other) in enumerate(zip(known, one, second, strict=True))
    )


def _classifier(
    signature: Signature, by_row: Sequence[Port], runs: FirstRuns, declared: Labels
) -> Signature:
    """The signature of a graph with labels; the values show which output has the probabilities."""
    name = str(signature.outputs.label)
    if any(np.size(given[name]) != 1 for given in runs.single):
        if declared:
            raise LoadError(
                "signature",
                f"class_labels describe one target, but output {name!r} has several per row; export "
                "the graph without class_labels",
            )
        several = Outputs(name, several=True)
        return replace(signature, outputs=several, class_labels=(), positive_class=None)
    labels = [np.ravel(given[name]).tolist()[0] for given in runs.single]
    candidates = [_scored(signature, port, runs) for port in score_candidates(by_row)]
    if candidates and not _are_finite(candidates[0][1]):
        return _not_finite(*candidates[0], runs)
    likely = [
        each for each in candidates if _are_finite(each[1]) and _look_like_probabilities(*each)
    ]
    best = _best(likely, labels)
    if len(best) == 1:
        found, rows = best[0]
        return replace(found, class_labels=_class_labels(found, runs.single, rows, labels))
    # The scores are no probabilities (such as a linear SVM's margins), or several outputs may be the
    # probabilities: serve the label only.
    alike = ", ".join(repr(found.outputs.probabilities) for found, _ in best)
    signature = replace(
        signature, outputs=replace(signature.outputs, probabilities=None, mapped=False),
        hints=(_ONE_WANTED.format(alike),) if best else (),
    )  # fmt: skip
    unknown = _unknown_labels(signature.class_labels, _by_name(signature, labels))
    if unknown and declared:
        raise unknown
    return replace(signature, class_labels=()) if unknown else signature


def _scored(signature: Signature, port: Port, runs: FirstRuns) -> _Scored:
    mapped = port.type.startswith("seq(map(")
    read = replace(signature.outputs, probabilities=port.name, mapped=mapped)
    return replace(signature, outputs=read), [_scores(given[port.name]) for given in runs.single]


def _best(likely: Sequence[_Scored], answered: Sequence[Any]) -> list[_Scored]:
    """The output that is most likely the probabilities, or several equally likely ones.

    Other outputs may add up to one, too, such as attention. Probabilities have a column per class, a
    name with "prob", and the largest value in the column of the label.
    """

    def contradicts(each: _Scored) -> tuple[bool, bool, bool]:
        signature, scores = each
        labels: Sequence[Any] = signature.class_labels or range(len(scores[0]))
        wide = len(labels) == len(scores[0])
        named = "prob" in str(signature.outputs.probabilities).lower()
        by_name = _by_name(signature, answered)
        largest = wide and [labels[int(np.argmax(row))] for row in scores] == by_name
        return not wide, not named, not largest

    least = min(map(contradicts, likely), default=None)
    return [each for each in likely if contradicts(each) == least]


def _by_name(signature: Signature, answered: Sequence[Any]) -> list[Any]:
    labels = signature.class_labels
    if not signature.outputs.indexed:
        return [*answered]
    return [labels[index] if 0 <= index < len(labels) else index for index in answered]


def _not_finite(signature: Signature, scores: Sequence[NDArray[Any]], runs: FirstRuns) -> Signature:
    """Accept scores that are not finite if the row was generated; every answer is checked instead."""
    if runs.recorded:
        number = next(n for n, row in enumerate(scores, 1) if not np.isfinite(row).all())
        raise LoadError("examples", f"recorded example {number} fails: it has no finite answer")
    if not (signature.outputs.mapped or signature.class_labels):
        raise LoadError("warm_up", "a generated row has no finite answer")
    return replace(signature, outputs=replace(signature.outputs, unverified=True))


def _classifier_without_label(
    signature: Signature, by_row: Sequence[Port], runs: FirstRuns
) -> Signature:
    """The signature of a graph that has no label, but classes in its metadata.

    Raises LoadError if no output has the probabilities of these classes.
    """
    labels = signature.class_labels
    ports = prefer_named([port for port in by_row if port.type in FLOATS], "prob")
    tables = {p.name: [_scores(given[p.name]) for given in runs.single] for p in ports}
    # Outputs with a column per class come first: a single column may be any value between 0 and 1.
    for name, rows in sorted(tables.items(), key=lambda table: len(table[1][0]) != len(labels)):
        columns = [_both(row) if len(labels) > 1 else row for row in rows]
        if all(len(row) == len(labels) and are_probabilities(row) for row in columns):
            return replace(signature, outputs=Outputs(probabilities=name))
    name, rows = next(iter(tables.items()), ("", []))
    shown = ", ".join(f"{value:.6g}" for value in rows[0][:4]) if rows else "nothing"
    raise LoadError(
        "signature",
        f"class_labels lists {len(labels)} classes, but output {name!r} does not hold their "
        f"probabilities: a row is {shown}. End the graph in Softmax (or Sigmoid, for two classes), or "
        "leave class_labels out",
    )


def _both(row: NDArray[Any]) -> NDArray[Any]:
    """The probabilities of both classes; `row` may have only that of the second."""
    return np.array([1 - row[0], row[0]]) if len(row) == 1 else row


def _scores(given: Any) -> NDArray[Any]:
    """The scores of one row, as numbers [C]."""
    return np.array([*given[0].values()]) if isinstance(given, list) else np.reshape(given, -1)


def _are_finite(scores: Sequence[NDArray[Any]]) -> bool:
    return all(np.isfinite(row).all() for row in scores)


def _look_like_probabilities(signature: Signature, scores: Sequence[NDArray[Any]]) -> bool:
    """Raises LoadError for scores that add up to one but are outside [0, 1] by more than rounding."""
    # A single column may be a margin or a distance, unless exactly one class is listed.
    single = len(signature.class_labels) == 1
    if all(are_probabilities(row) and (len(row) > 1 or single) for row in scores):
        return True
    for row in scores:
        if len(row) > 1 and abs(row.sum() - 1) <= _NEAR_ONE and not are_probabilities(row):
            raise LoadError(
                "signature",
                f"output {signature.outputs.probabilities!r} adds up to 1 like probabilities, but has "
                f"{row.min():.6g} and {row.max():.6g}, which are outside [0, 1]",
            )
    return False


def _class_labels(
    signature: Signature,
    given: Sequence[Given],
    scores: Sequence[NDArray[Any]],
    answered: Sequence[Any],
) -> Labels:
    """The classes of the probabilities' columns. Raises LoadError if the rows contradict them."""
    labels, read = signature.class_labels, signature.outputs
    if read.mapped:
        named: Labels = tuple(given[0][str(read.probabilities)][0])
    else:
        named = labels or tuple(range(len(scores[0])))
    if len(named) != len(scores[0]):
        raise LoadError(
            "signature", f"{len(named)} class labels for {len(scores[0])} probability columns"
        )
    by_place = read.indexed or not (labels or read.mapped)
    if by_place and not all(map(_is_likeliest, scores, answered)):
        raise LoadError(
            "signature",
            "the classes of the probability columns are unknown; write class_labels into the graph's "
            "metadata",
        )
    if unknown := _unknown_labels(named, _by_name(signature, answered)):
        raise unknown
    return labels or named


def _is_likeliest(row: NDArray[Any], label: Any) -> bool:
    """Whether the label is the index of the largest score."""
    return int(np.argmax(row)) == label


def _unknown_labels(named: Labels, labels: Sequence[Any]) -> LoadError | None:
    unknown = {str(label) for label in labels if named and label not in named}
    if not unknown:
        return None
    return LoadError(
        "signature",
        f"the model predicts {', '.join(sorted(unknown))}, which is not among its class labels",
    )


def _with_axes(signature: Signature, axes: Mapping[str, int]) -> Signature:
    """The signature with the extra outputs, which have one entry per row, and the omitted ones."""
    extra, omitted = [], []
    for port in signature.results:
        if port.name in signature.outputs.main:
            continue
        axis = axes.get(port.name)
        if not is_served(port):
            omitted.append((port.name, f"values of type {port.type} are not served"))
        elif axis is None:
            omitted.append((port.name, "it does not have one entry for each row"))
        else:
            extra.append(ExtraOutput(port.name, 1 if axis else 0))
    read = signature.outputs
    axis = axes.get(read.label or read.value or "")
    read = replace(read, extra=tuple(extra), omitted=tuple(omitted), axis=1 if axis else 0)
    return replace(signature, outputs=read)


def _classes_wanted(
    signature: Signature, runs: FirstRuns, operators: Mapping[str, str]
) -> tuple[str, ...]:
    read = signature.outputs
    if read.value is not None:
        rows = [_scores(given[read.value]) for given in runs.single]
        alike = all(len(row) > 1 and are_probabilities(row) for row in rows)
        if alike or operators.get(read.value) in _PROBABILITIES:
            return (_CLASSES_WANTED.format(read.value),)
    if read.label is not None and not read.several and not signature.class_labels:
        return (_LIST_WANTED.format(read.label),)
    return ()
