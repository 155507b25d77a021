"""The checks of the stress run find wrong answers, and accept correct ones."""

import json

import pytest

from stress.truth import ONE_ROW_OR_MANY, Reference, Truth, WrongAnswerError

RECORDS = ({"a": 1.0}, {"a": 2.0})
TRUTH = Truth(
    "m",
    RECORDS,
    (
        Reference("d1", ({"yes": 0.25, "no": 0.75}, {"yes": 0.5, "no": 0.5})),
        Reference("d2", ({"yes": 0.625, "no": 0.375}, {"yes": 0.125, "no": 0.875})),
    ),
)


def row(version: int, record: int, off: float = 0.0):
    right = TRUTH.of(str(version)).probabilities[record]
    given = {"yes": right["yes"] + off, "no": right["no"] - off}
    prediction = max(given, key=given.__getitem__)
    return {"prediction": prediction, "probability": given[prediction], "probabilities": given}


def body(version: int, **fields):
    return json.dumps({"model_name": "m", "model_version": str(version), **fields}).encode()


def test_correct_answers_pass():
    """Single and batch answers of each version; later numbers repeat the originals."""
    assert TRUTH.prediction(body(1, **row(1, 0)), [0]) == "1"
    assert TRUTH.prediction(body(3, **row(1, 0)), [0]) == "3"
    assert TRUTH.prediction(body(2, **row(2, 1, ONE_ROW_OR_MANY)), [1]) == "2"
    assert TRUTH.batch(body(2, predictions=[row(2, 1), row(2, 0)]), [1, 0]) == "2"
    # Equally likely classes are both correct.
    assert TRUTH.prediction(body(1, **row(1, 1, -ONE_ROW_OR_MANY)), [1]) == "1"


@pytest.mark.parametrize(
    "answer",
    [
        body(1, **row(2, 0)),
        body(1, **row(1, 1)),
        body(1, **row(1, 0, 2 * ONE_ROW_OR_MANY)),
        body(1, **{**row(1, 0), "prediction": "yes", "probability": 0.25}),
        body(1, **{**row(1, 0), "probability": 0.7}),
        body(1, **{**row(1, 0), "probabilities": {"no": 0.75}}),
        body(1, **{**row(1, 0), "model_name": "another"}),
        json.dumps(row(1, 0)).encode(),
        body(1),
        b"[]",
        b'{"half": ',
    ],
    ids=[
        "another version's", "another record's", "a little off", "the less likely class",
        "another probability", "a class is missing", "another model", "no version", "no answer",
        "no object", "half an object",
    ],
)  # fmt: skip
def test_a_wrong_prediction_is_found(answer):
    """One record."""
    with pytest.raises(WrongAnswerError):
        TRUTH.prediction(answer, [0])


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, 0), row(2, 1)],
        [row(1, 1), row(1, 0)],
        [row(1, 0)],
        [],
    ],
    ids=["of two versions", "in another order", "one is missing", "none"],
)
def test_a_wrong_batch_is_found(rows):
    """Two records."""
    with pytest.raises(WrongAnswerError):
        TRUTH.batch(body(1, predictions=rows), [0, 1])


def test_a_digest_of_another_version_is_found():
    """At /model."""
    right = {"model_name": "m", "model_version": "2", "digest": "sha256:d2"}
    assert TRUTH.model(json.dumps({"serving": right}).encode(), ()) == "2"
    for wrong in ({"serving": {**right, "model_version": "1"}}, {"serving": None}):
        with pytest.raises(WrongAnswerError):
            TRUTH.model(json.dumps(wrong).encode(), ())


def test_gauges_of_two_versions_are_found():
    """At /metrics."""
    text = (
        'predictor_model_info{{digest="{}",model_name="m",model_version="{}",run_id="r"}} 1.0\n'
        'predictor_model_version{{model_name="m"}} {}.0\n'
    )
    assert TRUTH.metrics(text.format("d2", 2, 2).encode(), ()) == "2"
    for wrong in (("d1", 2, 2), ("d2", 2, 1), ("d2", 2, 0)):
        with pytest.raises(WrongAnswerError):
            TRUTH.metrics(text.format(*wrong).encode(), ())


def test_other_answers_are_checked_too():
    """/ready, /health and /openapi.json."""
    assert TRUTH.ready(body(1, status="ok"), ()) == "1"
    TRUTH.health(b'{"status": "ok"}', ())
    TRUTH.openapi(b'{"components": {"schemas": {"Record": {"properties": {"a": {}}}}}}', ())
    for check in (TRUTH.ready, TRUTH.health, TRUTH.openapi):
        with pytest.raises(WrongAnswerError):
            check(b'{"status": "confused"}', ())


def test_the_difference_of_versions_is_the_smallest():
    """Records on which two versions agree cannot tell them apart."""
    assert TRUTH.difference(0) == pytest.approx(0.375)
    assert TRUTH.only([1]).difference(0) == pytest.approx(0.375)
    assert TRUTH.only([1]).records == (RECORDS[1],)
