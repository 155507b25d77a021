"""Answers become output tensors, as the metadata says that they will."""

import numpy as np
import pytest

from predictor.model.answers import Answers, read_answers
from predictor.model.signature import ExtraOutput, Outputs, Port, Signature
from predictor.protocols.open_inference import outputs as metadata
from predictor.protocols.open_inference.datatypes import from_bytes, to_bytes
from predictor.protocols.open_inference.errors import InvalidInference
from predictor.protocols.open_inference.outputs import outputs_of, requested
from predictor.protocols.open_inference.tensors import Tensor

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
    answers = read_answers(signature, raw)
    assert not answers.errors
    outputs = outputs_of(signature, answers, names)
    one_by_one = Answers.of(signature, [*answers])
    assert outputs == outputs_of(signature, one_by_one, names)
    return outputs


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
            [Tensor("y", "FP32", [1], [0.5])], [[-1, -1]],
        ),
        (
            signature(Outputs(value="y"), Port("y", "tensor(float)", (None, 3, 2))), [np.zeros((1, 3, 2))],
            [Tensor("y", "FP32", [1, 3, 2], [0.0] * 6)], [[-1, 3, 2]],
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


def test_scores_that_are_no_probabilities_are_told_all_the_same():
    """A tensor promises no more than numbers."""
    unverified = classifier(Outputs("label", "probabilities", unverified=True))
    raw = [np.array(["B"]), np.array([[-3.0, 4.0]])]
    assert told(unverified, raw)[1] == Tensor("probabilities", "FP32", [1, 2], [-3.0, 4.0])


def test_other_outputs_are_tensors_as_the_graph_has_them():
    """Each with its datatype and shape, in row-major order; sequences of even tensors too."""
    ports = (
        Port("l", "tensor(int64)", (None, 2)), Port("score", "tensor(double)", (None, 1)),
        Port("cube", "tensor(uint8)", (None, 2, 3)), Port("by_target", "tensor(float)", (2, None, 2)),
        Port("even", "seq(tensor(float))", (2, None, 2)), Port("uneven", "seq(tensor(float))", ()),
    )  # fmt: skip
    extra = (
        ExtraOutput("score"), ExtraOutput("cube"), ExtraOutput("by_target", 1),
        ExtraOutput("even", 1), ExtraOutput("uneven", 1),
    )  # fmt: skip
    kind = signature(Outputs("l", several=True, extra=extra), *ports)
    cube, targets = np.arange(6, dtype=np.uint8), np.arange(4.0, dtype=np.float32)
    raw = [
        np.array([[3, 4]]), np.array([[0.5]]), cube.reshape(1, 2, 3), targets.reshape(2, 1, 2),
        [*targets.reshape(2, 1, 2)], [np.zeros((1, 2)), np.zeros((1, 3))],
    ]  # fmt: skip
    assert told(kind, raw) == [
        Tensor("l", "INT64", [1, 2], [3, 4]),
        Tensor("score", "FP64", [1, 1], [0.5]),
        Tensor("cube", "UINT8", [1, 2, 3], [0, 1, 2, 3, 4, 5]),
        Tensor("by_target", "FP32", [2, 1, 2], [0.0, 1.0, 2.0, 3.0]),
        Tensor("even", "FP32", [2, 1, 2], [0.0, 1.0, 2.0, 3.0]),
    ]
    assert [each.shape for each in metadata.outputs(kind)] == [
        [-1, 2], [-1, 1], [-1, 2, 3], [2, -1, 2], [2, -1, 2],
    ]  # fmt: skip


def test_rows_of_different_shapes_are_no_tensor():
    """Left out; who asks for it by name hears why."""
    kind = signature(
        Outputs(value="y", extra=(ExtraOutput("found"),)),
        Port("y", "tensor(float)", (None,)),
        Port("found", "tensor(int64)", (None, None)),
    )
    found = {"found": [[1], [1, 2]]}
    answers = Answers(kind, [1.0, 1.0], outputs=found)
    assert [tensor.name for tensor in outputs_of(kind, answers, ())] == ["y"]
    with pytest.raises(InvalidInference, match="`found` is not a tensor for these rows"):
        outputs_of(kind, answers, ["found"])


def test_the_graphs_own_output_stands_for_a_label_that_has_a_name():
    """An index is told as the index, and one column of probabilities as one column."""
    index = signature(
        Outputs("l", indexed=True), Port("l", "tensor(int64)", (None,)), labels=("M", "B")
    )
    assert told(index, [np.array([1, 0])]) == [Tensor("l", "INT64", [2], [1, 0])]
    sigmoid = signature(
        Outputs(probabilities="p"), Port("p", "tensor(float)", (None, 1)), labels=("M", "B")
    )
    assert told(sigmoid, [np.array([[0.25]])]) == [Tensor("p", "FP32", [1, 1], [0.25])]
    assert metadata.outputs(sigmoid)[0].shape == [-1, 1]


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
