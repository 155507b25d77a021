"""Answers become output tensors, as the metadata says that they will."""

import numpy as np
import pytest

from predictor.errors import RequestError
from predictor.open_inference import metadata
from predictor.open_inference.datatypes import from_bytes, to_bytes
from predictor.open_inference.inference_errors import InvalidInference
from predictor.open_inference.outputs import outputs_of, requested
from predictor.open_inference.tensors import Tensor
from predictor.records.answers import read_answers
from predictor.signature import Outputs, Port, Signature

STRINGS = Port("label", "tensor(string)", (None,))
WIDE = Port("probabilities", "tensor(float)", (None, 2))
MAPS = Port("probabilities", "seq(map(string,tensor(float)))", ())
BOTH = Outputs("label", "probabilities")
MAPPED = Outputs("label", "probabilities", mapped=True)
FLOATS = np.array([[0.25, 0.75], [0.1, 0.9]], np.float32)
LISTED = [np.float32(each).item() for each in (0.25, 0.75, 0.1, 0.9)]


def signature(outputs, *results, labels=()):
    return Signature((), (Port("X", "tensor(float)", (None, 2)),), outputs, labels, None, results)


def classifier(outputs=BOTH, probabilities=WIDE, labels=("M", "B")):
    return signature(outputs, probabilities, STRINGS, labels=labels)


def told(signature, raw, names=()):
    answers = list(read_answers(signature, raw))
    assert not any(isinstance(answer, RequestError) for answer in answers)
    return outputs_of(signature, answers, names)


@pytest.mark.parametrize(
    ("signature", "raw", "expected", "shapes"),
    [
        (
            classifier(), [np.array(["B", "M"]), FLOATS],
            [Tensor("label", "BYTES", [2], ["B", "M"]), Tensor("probabilities", "FP32", [2, 2], LISTED)],
            [[-1], [-1, 2]],
        ),
        (
            # By the class labels, whatever the order of the maps.
            classifier(MAPPED, MAPS), [np.array(["B"]), [{"B": 0.75, "M": 0.25}]],
            [Tensor("label", "BYTES", [1], ["B"]), Tensor("probabilities", "FP32", [1, 2], [0.25, 0.75])],
            [[-1], [-1, 2]],
        ),
        (
            classifier(MAPPED, MAPS, labels=()), [np.array(["B"]), [{"B": 0.75, "M": 0.25}]],
            [Tensor("label", "BYTES", [1], ["B"]), Tensor("probabilities", "FP32", [1, 2], [0.75, 0.25])],
            [[-1], [-1, -1]],
        ),
        (
            signature(Outputs("l"), Port("l", "tensor(int64)", (None, 1))), [np.array([[3], [4]])],
            [Tensor("l", "INT64", [2, 1], [3, 4])], [[-1, 1]],
        ),
        (
            signature(Outputs("l"), Port("l", "tensor(bool)", ())), [np.array([True])],
            [Tensor("l", "BOOL", [1], [True])], [[-1]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(float)", (None, 1))), [np.array([[0.5], [1]])],
            [Tensor("y", "FP32", [2, 1], [0.5, 1.0])], [[-1, 1]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(double)", (None,))), [np.array([0.5, 1])],
            [Tensor("y", "FP64", [2], [0.5, 1.0])], [[-1]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(float)", ())), [np.array([0.5])],
            [Tensor("y", "FP32", [1, 1], [0.5])], [[-1, -1]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(float)", (None, 3, 2))), [np.zeros((1, 3, 2))],
            [Tensor("y", "FP32", [1, 6], [0.0] * 6)], [[-1, 6]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(float)", (None, None))), [np.array([[1, 2]])],
            [Tensor("y", "FP32", [1, 2], [1, 2])], [[-1, -1]],
        ),
    ],
)  # fmt: skip
def test_outputs_are_those_of_the_metadata(signature, raw, expected, shapes):
    """By name, datatype and shape; -1 stands for what varies."""
    tensors = told(signature, raw)
    assert tensors == expected
    described = metadata.outputs(signature)
    assert [each.shape for each in described] == shapes
    assert [(each.name, each.datatype) for each in described] == [
        (tensor.name, tensor.datatype) for tensor in tensors
    ]


def test_only_what_is_requested_is_told():
    """In the order of the request."""
    raw = [np.array(["B"]), FLOATS[:1]]
    names = ["probabilities", "label"]
    assert [tensor.name for tensor in told(classifier(), raw, names)] == names
    assert [tensor.name for tensor in told(classifier(), raw, ["label"])] == ["label"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["score"], "unknown output `score`; the model gives `label`, `probabilities`"),
        ([""], "unknown output ``"),
        (["label", "label"], "output `label` is requested twice"),
    ],
)
def test_outputs_that_cannot_be_requested(names, reason):
    """Told before anything is computed."""
    with pytest.raises(InvalidInference, match=reason):
        requested(classifier(), names)


def test_scores_that_are_no_probabilities_are_left_out_or_refused():
    """As `/predict` leaves them out; whoever asks for them hears why."""
    unproved = classifier(Outputs("label", "probabilities", unproved=True))
    raw = [np.array(["B"]), np.array([[-3.0, 4.0]])]
    assert [tensor.name for tensor in told(unproved, raw)] == ["label"]
    with pytest.raises(InvalidInference, match="holds no probabilities"):
        told(unproved, raw, ["probabilities"])


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (Port("X", "tensor(float)", (None, 2)), ("X", "FP32", [-1, 2])),
        (Port("X", "tensor(uint8)", (1, 2)), ("X", "UINT8", [-1, 2])),
        (Port("X", "tensor(string)", (None,)), ("X", "BYTES", [-1])),
    ],
)
def test_inputs_in_the_metadata(port, expected):
    """The graph's own; rows come in any number, also where the graph takes one at a time."""
    (described,) = metadata.inputs(Signature((), (port,), Outputs(value="y")))
    assert (described.name, described.datatype, described.shape) == expected


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", LISTED), ("FP64", [0.1, -0.0]), ("INT64", [-(2**63), 1]), ("BOOL", [True, False]),
        ("BYTES", ["", "ä", "a" * 300]), ("FP16", [0.5]),
    ],
)  # fmt: skip
def test_bytes_are_read_as_they_were_written(datatype, data):
    """What a client would read of them is what they are."""
    assert from_bytes(datatype, to_bytes(datatype, data), len(data)).tolist() == data
