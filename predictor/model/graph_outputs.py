"""Declared outputs: find the label, the probabilities or the value among a graph's outputs.

Declared shapes are often wrong, so `first_runs` corrects the result with the outputs of real runs.
"""

from collections.abc import Sequence
from dataclasses import replace

from predictor.errors import LoadError
from predictor.model.graph import Labels
from predictor.model.signature import FLOATS, INTEGERS, ExtraOutput, Outputs, Port, Signature

_TENSORS = {*FLOATS, *INTEGERS, "tensor(bool)", "tensor(string)"}
_LABELS = {*INTEGERS, "tensor(bool)", "tensor(string)"}


def is_served(port: Port) -> bool:
    """Whether a response can contain values of this output's type."""
    element = port.type.removeprefix("seq(").removesuffix(")")
    return port.type in _TENSORS or element in _TENSORS or port.type.startswith("seq(map(")


def read_outputs(ports: Sequence[Port], declared: Labels = ()) -> Outputs:
    """Find a classifier's label and probabilities, or a regressor's value. Raises LoadError for neither.

    `declared` are the class labels from the graph's metadata. With them, a graph that has only float
    outputs has probabilities, and integer labels are indices into text labels.
    """
    labels = _labels(ports)
    scores = score_candidates(ports)
    if labels:
        mapped = bool(scores) and scores[0].type.startswith("seq(map(")
        texts = any(isinstance(each, str) for each in declared)
        indexed = texts and labels[0].type != "tensor(string)"
        return Outputs(
            labels[0].name, scores[0].name if scores else None, mapped=mapped, indexed=indexed
        )
    floats = [port for port in ports if port.type in FLOATS]
    if floats and declared:
        return Outputs(probabilities=prefer_named(floats, "prob")[0].name)
    if floats:
        return Outputs(value=floats[0].name)
    raise LoadError("signature", "the graph has no output that is a label or a number")


def with_declared_extra(signature: Signature) -> Signature:
    """The signature with the other outputs that have one entry per row, as declared."""
    read = signature.outputs
    main = signature.result(read.label or read.value or "")
    # [C, 1] or [C, N], as in a graph that gathers on axis 1.
    first, second = main.shape if len(main.shape) == 2 else (None, None)  # noqa: PLR2004
    transposed = first not in (None, 1) and second in (None, 1)
    others = [port for port in signature.results if port.name not in read.main]
    extra = [p for p in others if p.type in _TENSORS and p.shape and p.shape[0] in (None, 1)]
    omitted = [
        (p.name, "its shape is unknown: no row could be run") for p in others if p not in extra
    ]
    named = tuple(ExtraOutput(port.name) for port in extra)
    read = replace(read, extra=named, omitted=tuple(omitted), axis=1 if transposed else 0)
    return replace(signature, outputs=read)


def with_boolean_classes(signature: Signature) -> Signature:
    """The signature with classes false and true, if the label is a boolean and the classes are 0 and 1."""
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


def _labels(ports: Sequence[Port]) -> list[Port]:
    """Outputs that may be the label, the most likely first; skl2onnx's `decision_path` is not one.

    If the first output has floats, an output of several columns is rather a mask or indices, unless its
    name contains "label".
    """
    found = [p for p in ports if p.type in _LABELS and not p.name.startswith("decision_")]
    if ports and ports[0].type in FLOATS:
        found = [p for p in found if "label" in p.name.lower() or p.width in {None, 1}]
    return prefer_named(found, "label")


def score_candidates(ports: Sequence[Port]) -> list[Port]:
    """Outputs that may be a classifier's probabilities, the most likely first."""
    maps = [port for port in ports if port.type.startswith("seq(map(")]
    wide = [port for port in ports if port.type in FLOATS and len(port.shape) == 2]  # noqa: PLR2004
    return maps or prefer_named(wide, "prob")


def prefer_named(ports: list[Port], part: str) -> list[Port]:
    """The outputs, with those first that have `part` in their names."""
    return sorted(ports, key=lambda port: part not in port.name.lower())
