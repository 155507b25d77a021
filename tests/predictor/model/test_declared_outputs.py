"""What MLflow's signature says of the outputs, and whether a graph can answer so."""

import json

import pytest

from predictor.errors import LoadError
from predictor.model.mlmodel import DeclaredOutputs
from predictor.model.signature import Outputs, Port, Signature

LABEL = Port("label", "tensor(string)", (None,))
NUMBERED = Port("label", "tensor(int64)", (None,))
SCORES = Port("probabilities", "tensor(float)", (None, 2))
UNKNOWN = Port("value", "tensor(float)", ())
NAMED = Port("scores", "seq(map(string,tensor(float)))", ())
TEXT, NUMBER = {"type": "string"}, {"type": "double", "name": "y"}


def tensor(dtype, *shape):
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


def declared(*outputs):
    return DeclaredOutputs.read({"signature": {"inputs": "[]", "outputs": json.dumps(outputs)}})


@pytest.mark.parametrize(
    ("outputs", "ports"),
    [
        ([], [LABEL]),
        ([TEXT], [LABEL, SCORES]),
        ([TEXT], [NUMBERED, NAMED]),
        ([NUMBER], [LABEL, SCORES]),
        ([TEXT, NUMBER], [LABEL]),
        ([NUMBER], [SCORES]),
        ([tensor("float32", -1, 2)], [LABEL, SCORES]),
        ([tensor("float32", -1, 3)], [LABEL, NAMED]),
        ([tensor("float32", -1, 3)], [UNKNOWN]),
        ([tensor("int64", -1)], [LABEL, SCORES]),
        ([tensor("object", -1)], [SCORES]),
        ([{"type": "datetime"}], [SCORES]),
    ],
)
def test_compatible_outputs_are_accepted(outputs, ports):
    """MLflow's signature often says less than the graph gives, and of it only a part."""
    declared(*outputs).check(Signature((), (), Outputs(), results=tuple(ports)))


@pytest.mark.parametrize(
    ("outputs", "ports", "words"),
    [
        ([TEXT], [NUMBERED, SCORES], "only gives numbers"),
        ([tensor("str", -1)], [SCORES], "only gives numbers"),
        ([NUMBER], [LABEL], "only gives text"),
        ([tensor("float32", -1, 3)], [LABEL, SCORES], "3 columns of output, the graph gives 1, 2"),
    ],
)
def test_contradicting_outputs_are_refused(outputs, ports, words):
    """The reason names both."""
    with pytest.raises(LoadError, match=words) as caught:
        declared(*outputs).check(Signature((), (), Outputs(), results=tuple(ports)))
    assert caught.value.stage == "signature"


@pytest.mark.parametrize("outputs", ["{", "[1]", '[{"name": "y"}]', '[{"type": "tensor"}]', 5])
def test_an_unreadable_signature_is_refused(outputs):
    """As for inputs."""
    with pytest.raises(LoadError, match="not readable"):
        DeclaredOutputs.read({"signature": {"outputs": outputs}})


@pytest.mark.parametrize("mlmodel", [{}, {"signature": None}, {"signature": {"outputs": None}}])
def test_the_signature_is_optional(mlmodel):
    """It need not be there."""
    assert DeclaredOutputs.read(mlmodel) == DeclaredOutputs()
