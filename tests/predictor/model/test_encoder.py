"""Answers become JSON, the same by the quick way and by msgspec's own."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.errors import InvalidRecord
from predictor.model.answers import Answer, Answers, read_answers
from predictor.model.encoder import Encoder
from predictor.model.signature import ExtraOutput, Outputs, Signature
from predictor.model.training_ranges import OutOfRange
from tests.predictor.parts import version

LABELS = ("malignant", 'odd "%s" \\ name', "ü,],[")


def encoder(signature):
    return Encoder(version(7), signature)


def signature(outputs, labels=()):
    return Signature((), (), outputs, labels)


CLASSES = signature(Outputs("l", "p"), LABELS)
chances = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(st.sampled_from(LABELS), chances, chances, chances), min_size=1))
def test_a_classifier(rows):
    """Every label, every number, and the version; one by one and as a batch."""
    labels, *columns = zip(*rows, strict=True)
    outputs = [np.array(labels, object), np.array(columns, np.float32).T]
    answers = read_answers(CLASSES, outputs)
    bodies = encoder(CLASSES).each(answers)
    for body, label, *scores in zip(bodies, labels, *columns, strict=True):
        assert json.loads(body) == {
            "prediction": label,
            "probability": scores[LABELS.index(label)],
            "probabilities": dict(zip(LABELS, scores, strict=True)),
            "model_name": "m",
            "model_version": "7",
        }
    assert bodies == [by_msgspec(answer) for answer in answers]
    batch = encoder(CLASSES).batch(encoder(CLASSES).rows(answers) * 2)
    assert json.loads(batch) == {
        "predictions": [json.loads(msgspec.json.encode(answer)) for answer in answers] * 2,
        "model_name": "m",
        "model_version": "7",
    }


def by_msgspec(answer):
    """The same body, encoded as one object."""
    named = {"model_name": "m", "model_version": "7"}
    return msgspec.json.encode(msgspec.to_builtins(answer) | named)


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        (signature(Outputs("l")), [np.array(["ä", "b"], object)]),
        (signature(Outputs("l")), [np.array([True, False])]),
        (signature(Outputs(value="y")), [np.array([[1.5], [2.0]])]),
        (signature(Outputs(value="y")), [np.array([[1.5, 0.1], [2.0, 3.0]])]),
        (signature(Outputs("l", "p", mapped=True)), [np.array([3, 7]), [{3: 0.5, 7: 0.5}] * 2]),
        (signature(Outputs("l", "p"), (3, 7)), [np.array([3, 7]), np.array([[0.5, 0.5]] * 2)]),
        (signature(Outputs("l", "p"), (True, False)), [np.array([True]), np.array([[0.1, 0.9]])]),
        (signature(Outputs("l", "p", unverified=True), (3, 7)),
         [np.array([3, 7]), np.array([[0.5, 0.5], [-3.0, 3.0]])]),
    ],
)  # fmt: skip
def test_other_models(kind, outputs):
    """Absent probabilities are absent, and not null."""
    answers = read_answers(kind, outputs)
    assert encoder(kind).each(answers) == [by_msgspec(answer) for answer in answers]
    assert b"null" not in b"".join(encoder(kind).each(answers))


def test_other_outputs_are_members_of_their_own():
    """Behind the probabilities, null where a number is not finite; and before warnings."""
    kind = signature(Outputs("l", "p", extra=(ExtraOutput("scores"),)), (3, 7))
    scores = np.array([[0.25, math.inf], [1.5, 2.0]], np.float32)
    answers = read_answers(kind, [np.array([3, 7]), np.array([[0.5, 0.5]] * 2), scores])
    first, second = encoder(kind).each(answers, {1: WARNINGS})
    assert first == (
        b'{"prediction":3,"probability":0.5,"probabilities":{"3":0.5,"7":0.5},'
        b'"outputs":{"scores":[0.25,null]},"model_name":"m","model_version":"7"}'
    )
    assert list(json.loads(second))[3:] == ["outputs", "warnings", "model_name", "model_version"]


def test_a_fault_takes_the_place_of_its_body():
    """And of no other."""
    outputs = [
        np.array(["malignant"] * 3),
        np.array([[0.5, 0.25, 0.25], [math.nan] * 3, [1, 0, 0]]),
    ]
    answers = read_answers(CLASSES, outputs)
    first, fault, last = encoder(CLASSES).each(answers)
    assert isinstance(fault, InvalidRecord)
    assert [first, last] == [by_msgspec(answers[0]), by_msgspec(answers[2])]


WARNINGS = [OutOfRange("dose", 9.5, 0.0, 1.0, 'dose is "ü"'), OutOfRange("age", 1, 2.0, 3.0, "")]


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        (CLASSES, [np.array(LABELS[:2], object), np.array([[0.5, 0.25, 0.25]] * 2)]),
        (signature(Outputs(value="y")), [np.array([[1.5], [2.0]])]),
    ],
)
def test_warnings_are_in_the_body_of_their_row(kind, outputs):
    """Before the version, and in no other row; what is within has no such member."""
    answers = read_answers(kind, outputs)
    plain, warned = encoder(kind).each(answers, {1: WARNINGS})
    assert plain == by_msgspec(answers[0])
    warnings = {"warnings": msgspec.to_builtins(WARNINGS)}
    named = {"model_name": "m", "model_version": "7"}
    assert warned == msgspec.json.encode(msgspec.to_builtins(answers[1]) | warnings | named)
    batch = json.loads(encoder(kind).batch(encoder(kind).rows(answers, {1: WARNINGS})))
    assert batch["predictions"] == [
        msgspec.to_builtins(answers[0]), msgspec.to_builtins(answers[1]) | warnings,
    ]  # fmt: skip


def test_a_fault_has_no_warnings():
    """It says what is wrong already."""
    answers = read_answers(signature(Outputs(value="y")), [np.array([[math.nan], [2.0]])])
    fault, body = encoder(answers.signature).each(answers, {0: WARNINGS})
    assert isinstance(fault, InvalidRecord)
    assert b"warnings" not in body


def test_no_rows_are_no_bodies():
    assert encoder(CLASSES).each(Answers.of(CLASSES, [])) == []
    assert by_msgspec(Answer("x")) == b'{"prediction":"x","model_name":"m","model_version":"7"}'
