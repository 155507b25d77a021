"""Which of a graph's outputs make the answer: by their declarations, and by what they hold for first rows.

What a run gave decides. Exporters declare shapes that are wrong (`[None, 1]` for several targets,
`[None, 2]` for one margin), and only values show whether scores are probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.model.answers import are_probabilities
from predictor.model.graph import Labels
from predictor.model.signature import FLOATS, INTEGERS, ExtraOutput, Outputs, Port, Signature

Given = Mapping[str, Any]
"""What one run gave, by the names of the outputs."""

_TENSORS = {*FLOATS, *INTEGERS, "tensor(bool)", "tensor(string)"}
_LABELS = {*INTEGERS, "tensor(bool)", "tensor(string)"}
_NEAR_ONE = 1e-3  # of the sum of a row
_ROUNDING = 1e-2  # of float32 that is added up in another order, and of what cancels out
_PROBABILITIES = {"Softmax", "Sigmoid"}  # operators
_Scored = tuple[Signature, Sequence[NDArray[Any]]]
"""A signature whose probabilities are of one output, and that output's first rows."""

_CLASSES_WANTED = (
    "output {!r} looks like probabilities; write class_labels into the graph's metadata to serve the "
    "version as a classifier"
)
_LIST_WANTED = (
    "nothing lists the classes that output {!r} gives, so metrics count all predictions as `other`; "
    "write class_labels into the graph's metadata"
)


_ONE_WANTED = (
    "outputs {} all look like probabilities, and responses have them under `outputs`; call one of them "
    "`probabilities` to have it as such"
)
_COUPLED = (
    "a row has other outputs beside another row than alone, so each row is computed alone, which is "
    "slow; a layer may mix rows, or be random as in training"
)


@dataclass(frozen=True)
class FirstRuns:
    """What the first rows gave: each row alone, and two together (None where the graph takes one).

    `recorded` says that they are recorded examples, and not rows made up here.
    """

    single: Sequence[Given]
    pair: Given | None
    recorded: bool


@dataclass(frozen=True)
class Claims:
    """What a graph says of its outputs, before any of them was computed.

    `class_labels` are those of its metadata, `operators` the types of the nodes that make the outputs.
    """

    class_labels: Labels = ()
    operators: Mapping[str, str] = field(default_factory=dict)


def is_served(port: Port) -> bool:
    """Whether values of the output's type can be in a response."""
    element = port.type.removeprefix("seq(").removesuffix(")")
    return port.type in _TENSORS or element in _TENSORS or port.type.startswith("seq(map(")


def read_outputs(ports: Sequence[Port], claimed: Labels = ()) -> Outputs:
    """Tell a classifier's label and probabilities from a regressor's value. Raises LoadError for neither.

    `claimed` are the class labels that the graph's metadata lists: floats alone are then their
    probabilities, and whole numbers, where these are texts, their indices.
    """
    labels = _labels(ports)
    scores = _score_candidates(ports)
    if labels:
        mapped = bool(scores) and scores[0].type.startswith("seq(map(")
        texts = any(isinstance(each, str) for each in claimed)
        indexed = texts and labels[0].type != "tensor(string)"
        return Outputs(
            labels[0].name, scores[0].name if scores else None, mapped=mapped, indexed=indexed
        )
    floats = [port for port in ports if port.type in FLOATS]
    if floats and claimed:
        return Outputs(probabilities=_named(floats, "prob")[0].name)
    if floats:
        return Outputs(value=floats[0].name)
    raise LoadError("signature", "the graph gives neither a label nor a number")


def with_declared_extra(signature: Signature) -> Signature:
    """The signature whose other outputs are told, too, where their declaration says that they have rows."""
    read = signature.outputs
    main = signature.result(read.label or read.value or "")
    # [C, 1] or [C, N], as of a graph that gathers on axis 1.
    turned = len(main.shape) == 2 and main.shape[0] not in (None, 1) and main.shape[1] in (None, 1)  # noqa: PLR2004
    others = [port for port in signature.results if port.name not in read.main]
    extra = [p for p in others if p.type in _TENSORS and p.shape and p.shape[0] in (None, 1)]
    omitted = [(p.name, "no run has shown its shape") for p in others if p not in extra]
    named = tuple(ExtraOutput(port.name) for port in extra)
    read = replace(read, extra=named, omitted=tuple(omitted), axis=1 if turned else 0)
    return replace(signature, outputs=read)


def with_boolean_classes(signature: Signature) -> Signature:
    """The signature whose classes are false and true, where the graph answers booleans for 0 and 1."""
    label = signature.result(str(signature.outputs.label))
    if label.type != "tensor(bool)" or not set(signature.class_labels) <= {0, 1}:
        return signature
    names = {"0": "false", "1": "true"}
    positive = signature.positive_class
    return replace(
        signature,
        class_labels=tuple(map(bool, signature.class_labels)),
        positive_class=names.get(positive, positive) if positive else positive,
    )


def settle(signature: Signature, runs: FirstRuns, claims: Claims) -> Signature:
    """The signature whose outputs, shapes and class labels are those that the first rows showed.

    Raises LoadError (stage `signature`, or `examples` for recorded rows without a finite answer).
    """
    claimed = claims.class_labels
    seen = [_seen(port, runs) for port in signature.results]
    ports = tuple(port for port, _ in seen)
    axes = {port.name: axis for port, axis in seen if axis is not None}
    by_row = [port for port in ports if port.name in axes]
    if not by_row:
        raise LoadError("warm_up", "no output of the graph has one entry for each row")
    read = read_outputs(by_row, claimed)
    signature = replace(signature, results=ports, outputs=read)
    first = [port for port in by_row if axes[port.name] == 0]
    if read.label is not None:
        signature = _classifier(signature, first, runs, claimed)
    elif claimed:
        signature = _without_label(signature, first, runs)
    signature = _with_axes(signature, axes)
    signature = with_boolean_classes(signature)
    signature = replace(signature, coupled=_is_coupled(signature, runs))
    return replace(signature, hints=signature.hints + _hints(signature, runs, claims.operators))


def _is_coupled(signature: Signature, runs: FirstRuns) -> bool:
    """Whether a row has other numbers beside itself than alone, and by more than rounding."""
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


def _seen(port: Port, runs: FirstRuns) -> tuple[Port, int | None]:
    """The output with the shape that it had, and the axis of its rows: None where it has none."""
    one = runs.single[0].get(port.name)
    two = None if runs.pair is None else runs.pair.get(port.name)
    if isinstance(one, np.ndarray):
        shape, other = one.shape, two.shape if isinstance(two, np.ndarray) else None
        axis = _axis(shape, other)
        return replace(port, shape=_true_shape(port.shape, shape, other, axis)), axis
    if not isinstance(one, list) or not one:
        return port, None
    if isinstance(one[0], dict):
        return port, _axis((len(one),), None if two is None else (len(two),))
    return _seen_sequence(port, one, two)


def _seen_sequence(port: Port, one: list[Any], two: list[Any] | None) -> tuple[Port, int | None]:
    """The same of a sequence of tensors: of one for each row, or of one for each target."""
    if two is not None and (len(one), len(two)) == (1, 2):
        return replace(port, shape=()), 0
    longer = two if two is not None and len(two) == len(one) else [None] * len(one)
    for first, second in zip(one, longer, strict=True):
        if _axis(first.shape, None if second is None else second.shape) != 0:
            return port, None
    inner = {each.shape[1:] for each in one}
    # Targets of different numbers of classes have no common shape.
    return replace(port, shape=(len(one), None, *inner.pop()) if len(inner) == 1 else ()), 1


def _axis(one: tuple[int, ...], two: tuple[int, ...] | None) -> int | None:
    if two is None:
        return 0 if one[:1] == (1,) else None
    for axis in (0, 1):
        # Another dimension that grows, too, holds what rows are to each other, such as covariances.
        if one[axis : axis + 1] == (1,) and two == (*one[:axis], 2, *one[axis + 1 :]):
            return axis
    return None


def _true_shape(
    declared: Sequence[int | None],
    one: tuple[int, ...],
    two: tuple[int, ...] | None,
    axis: int | None,
) -> tuple[int | None, ...]:
    """The shape that was seen; a dimension that varies, or is not said to be fixed, is None."""
    known = declared if len(declared) == len(one) else (None,) * len(one)
    same = two if two is not None and len(two) == len(one) else one
    return tuple(
        None if place == axis or said is None or seen != other else seen
        for place, (said, seen, other) in enumerate(zip(known, one, same, strict=True))
    )


def _labels(ports: Sequence[Port]) -> list[Port]:
    """What may be the label, the likeliest first. skl2onnx adds `decision_path` and `decision_leaf`.

    Several columns behind a number are a mask or a list of places rather than labels, unless they are
    called so.
    """
    found = [p for p in ports if p.type in _LABELS and not p.name.startswith("decision_")]
    if ports and ports[0].type in FLOATS:
        found = [p for p in found if "label" in p.name.lower() or p.width in {None, 1}]
    return _named(found, "label")


def _score_candidates(ports: Sequence[Port]) -> list[Port]:
    """What may be a classifier's probabilities, the likeliest first."""
    maps = [port for port in ports if port.type.startswith("seq(map(")]
    wide = [port for port in ports if port.type in FLOATS and len(port.shape) == 2]  # noqa: PLR2004
    return maps or _named(wide, "prob")


def _named(ports: list[Port], part: str) -> list[Port]:
    return sorted(ports, key=lambda port: part not in port.name.lower())


def _classifier(
    signature: Signature, by_row: Sequence[Port], runs: FirstRuns, claimed: Labels
) -> Signature:
    """The signature of a graph that gives labels, with what the values say of them and of scores."""
    name = str(signature.outputs.label)
    if any(np.size(given[name]) != 1 for given in runs.single):
        if claimed:
            raise LoadError(
                "signature",
                f"class_labels are those of one target, and output {name!r} has several for a row; "
                "export the graph without class_labels",
            )
        several = Outputs(name, several=True)
        return replace(signature, outputs=several, class_labels=(), positive_class=None)
    answered = [np.ravel(given[name]).tolist()[0] for given in runs.single]
    candidates = _score_candidates(by_row)
    likely = []
    for port in candidates:
        scores = [_scores(given[port.name]) for given in runs.single]
        mapped = port.type.startswith("seq(map(")
        read = replace(signature.outputs, probabilities=port.name, mapped=mapped)
        found = replace(signature, outputs=read)
        if not all(np.isfinite(row).all() for row in scores):
            if port is candidates[0]:
                return _not_finite(found, scores, runs)
        elif all(_may_be_probabilities(row, signature.class_labels) for row in scores):
            likely.append((found, scores))
        else:
            _check_near(port.name, scores)
    best = _best(likely, answered)
    if len(best) == 1:
        found, rows = best[0]
        return replace(found, class_labels=_class_labels(found, runs.single, rows, answered))
    # Scores of a model without probabilities (a linear SVM's margins), or several that may be them: the
    # label answers alone.
    alike = ", ".join(repr(found.outputs.probabilities) for found, _ in best)
    signature = replace(
        signature, outputs=replace(signature.outputs, probabilities=None, mapped=False),
        hints=(_ONE_WANTED.format(alike),) if best else (),
    )  # fmt: skip
    strange = _strange(signature.class_labels, _by_name(signature, answered))
    if strange and claimed:
        raise strange
    return replace(signature, class_labels=()) if strange else signature


def _best(likely: Sequence[_Scored], answered: Sequence[Any]) -> list[_Scored]:
    """The output that is most likely the classes' probabilities, or several that are so alike.

    Others may add up to one, such as attention. It has a column for each class, is called so, and the
    largest is that of the label.
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
    """A blank row without finite scores says nothing of real rows: each answer shows what they are."""
    if runs.recorded:
        number = next(n for n, row in enumerate(scores, 1) if not np.isfinite(row).all())
        raise LoadError("examples", f"recorded example {number} fails: it has no finite answer")
    if not (signature.outputs.mapped or signature.class_labels):
        raise LoadError("warm_up", "a blank row has no finite answer")
    return replace(signature, outputs=replace(signature.outputs, unproved=True))


def _without_label(signature: Signature, by_row: Sequence[Port], runs: FirstRuns) -> Signature:
    """The signature of floats for which the metadata lists classes: their probabilities, or it is refused."""
    labels = signature.class_labels
    ports = _named([port for port in by_row if port.type in FLOATS], "prob")
    tables = {p.name: [_scores(given[p.name]) for given in runs.single] for p in ports}
    # One column may be anything between 0 and 1, where another output has one for each class.
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
    """The probabilities of two classes, where a row is that of the second."""
    return np.array([1 - row[0], row[0]]) if len(row) == 1 else row


def _scores(given: Any) -> NDArray[Any]:
    """The scores of one row, as numbers [C]."""
    return np.array([*given[0].values()]) if isinstance(given, list) else np.reshape(given, -1)


def _may_be_probabilities(row: NDArray[Any], labels: Labels) -> bool:
    # Of one column, only a list of one class says that it is no margin or distance.
    return are_probabilities(row) and (len(row) > 1 or len(labels) == 1)


def _check_near(name: str, scores: Sequence[NDArray[Any]]) -> None:
    """Raise LoadError for what adds up to one like probabilities, and is none by more than rounding."""
    for row in scores:
        if len(row) > 1 and abs(row.sum() - 1) <= _NEAR_ONE and not are_probabilities(row):
            raise LoadError(
                "signature",
                f"output {name!r} adds up to 1 as probabilities do, and has {row.min():.6g} and "
                f"{row.max():.6g}, which are outside [0, 1]",
            )


def _class_labels(
    signature: Signature,
    given: Sequence[Given],
    scores: Sequence[NDArray[Any]],
    answered: Sequence[Any],
) -> Labels:
    """The classes of the probabilities' columns. Raises LoadError where the rows contradict them."""
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
            "nothing says which class each probability column is of; "
            "write class_labels into the graph's metadata",
        )
    if strange := _strange(named, _by_name(signature, answered)):
        raise strange
    return labels or named


def _is_likeliest(row: NDArray[Any], label: Any) -> bool:
    """Whether classes by their places can be meant: the likeliest of them is what the model answers."""
    return int(np.argmax(row)) == label


def _strange(named: Labels, labels: Sequence[Any]) -> LoadError | None:
    strange = {str(label) for label in labels if named and label not in named}
    if not strange:
        return None
    return LoadError(
        "signature",
        f"the model answers {', '.join(sorted(strange))}, which is not among its class labels",
    )


def _with_axes(signature: Signature, axes: Mapping[str, int]) -> Signature:
    """The signature with the other outputs: those that have rows, and those that responses omit."""
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


def _hints(signature: Signature, runs: FirstRuns, operators: Mapping[str, str]) -> tuple[str, ...]:
    coupled = (_COUPLED,) if signature.coupled else ()
    return coupled + _classes_wanted(signature, runs, operators)


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
