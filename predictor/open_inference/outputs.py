"""Answers to output tensors, by the names that the graph gives its outputs."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from msgspec import UNSET

from predictor.open_inference.datatypes import DATATYPES
from predictor.open_inference.inference_errors import InvalidInference, quoted
from predictor.open_inference.tensors import Tensor
from predictor.records.answers import Answer
from predictor.signature import Port, Signature


def requested(signature: Signature, names: Sequence[str]) -> list[str]:
    """The outputs to tell, in the order they were named in; all of them where none was.

    Raises InvalidInference for one that is unknown or named twice.
    """
    known = signature.outputs.names
    for number, name in enumerate(names):
        if name not in known:
            listed = ", ".join(map(quoted, known))
            raise InvalidInference(f"unknown output {quoted(name)}; the model gives {listed}")
        if name in names[:number]:
            raise InvalidInference(f"output {quoted(name)} is requested twice")
    return list(names) or known


def outputs_of(
    signature: Signature, answers: Sequence[Answer], names: Sequence[str]
) -> list[Tensor]:
    """These outputs of the answers, which are one version's, in the order of the rows.

    Elements are Python values. Where none was requested, probabilities that turned out to be none are left
    out; where they were, it raises InvalidInference.
    """
    tensors = []
    for name in requested(signature, names):
        if name == signature.outputs.probabilities:
            if any(answer.probabilities is UNSET for answer in answers):
                if names:
                    raise InvalidInference(
                        f"output {quoted(name)} holds no probabilities of these rows"
                    )
                continue
            table = [_scores(signature, answer) for answer in answers]
        else:
            table = [_listed(answer.prediction) for answer in answers]
        tensors.append(_tensor(signature, name, table))
    return tensors


def result(signature: Signature, name: str) -> tuple[str, int, int | None]:
    """Of an output by its name: the datatype, 1 or 2 dimensions, and columns (None where they vary)."""
    port = next((port for port in signature.results if port.name == name), Port(name, "", ()))
    if name == signature.outputs.probabilities:
        # Maps of each row's probabilities become a table of FP32, which their numbers are.
        datatype = DATATYPES.get(port.type, "FP32")
        return datatype, 2, len(signature.class_labels) or port.width
    if name == signature.outputs.label or len(port.shape) == 1:
        return DATATYPES[port.type], max(1, min(len(port.shape), 2)), 1
    return DATATYPES[port.type], 2, _columns(port)


def _columns(port: Port) -> int | None:
    columns = 1
    for dimension in port.shape[1:] or (None,):
        if dimension is None:
            return None
        columns *= dimension
    return columns


def _scores(signature: Signature, answer: Answer) -> list[Any]:
    assert answer.probabilities is not UNSET  # noqa: S101  looked at before
    if signature.outputs.mapped and signature.label_names:
        return [answer.probabilities[name] for name in signature.label_names]
    return list(answer.probabilities.values())


def _listed(prediction: Any) -> list[Any]:
    return prediction if isinstance(prediction, list) else [prediction]


def _tensor(signature: Signature, name: str, table: Sequence[list[Any]]) -> Tensor:
    datatype, dimensions, _ = result(signature, name)
    shape = [len(table)] if dimensions == 1 else [len(table), len(table[0])]
    return Tensor(name, datatype, shape, list(chain.from_iterable(table)))
