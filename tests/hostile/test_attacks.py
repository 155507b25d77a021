"""Each attack ends in the right 4xx or a close, over real sockets.

After each one, `others_do_not_notice` asks whether another client was answered rightly meanwhile,
and whether the predictor's memory has stayed within its bound.
"""

import json
import socket

import pytest

from tests.hostile.attacks import ATTACKS, Attack
from tests.hostile.parts import Target, is_problem
from tests.hostile.wire import post, request

pytestmark = pytest.mark.whole


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_ends_in_the_right_answer_or_a_close(target: Target, attack: Attack) -> None:
    """Every answer in order, each error a problem document; the connection closes where it must."""
    answers = None if attack.closes else len(attack.statuses)
    got = target.converse(*attack.sends, answers=answers, half_close=attack.half_close)
    assert got.statuses == attack.statuses
    assert got.closed == attack.closes
    assert all(is_problem(response) for response in got.responses if response.status >= 400)


VALUES = {
    "1e400": "1e400", "-1e400": "-1e400", "NaN": "NaN", "Infinity": "Infinity",
    "a number float32 does not hold": "1e39", "an integer of 5,000 digits": "1" * 5000,
    "a fraction of 5,000 digits": "0." + "1" * 5000 + "e400", "null": "null", "text": '"1"',
    "a lone surrogate": r'"\ud800"', "true": "true", "a list": "[1]", "an object": "{}",
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_that_is_no_number_is_refused_by_name(target: Target, value: str) -> None:
    """What is not JSON is malformed; what is, names its field. In a batch, its row too."""
    record = target.body.decode()
    field = next(iter(target.record))
    spoilt = record.replace(json.dumps(target.record[field]), value, 1).encode()
    assert spoilt != record.encode()
    status = 400 if value in {"NaN", "Infinity"} else 422
    single, batch = target.converse(
        post(spoilt),
        post(b'{"instances": [%s, %s]}' % (record.encode(), spoilt), path="/predict/batch"),
        answers=2,
    ).responses
    for response, place in ((single, field), (batch, f"instances[1].{field}")):
        assert is_problem(response)
        assert response.status in {status, 422}
        if response.status == 422:
            assert [error["field"] for error in response.json()["errors"]] == [place]


def test_a_name_given_twice_is_refused_by_name(target: Target) -> None:
    """Which of the two was meant nobody can know."""
    field = next(iter(target.record))
    twice = target.body[:-1] + f', "{field}": 1}}'.encode()
    (response,) = target.converse(post(twice), answers=1).responses
    assert response.status == 422
    assert response.json()["errors"] == [{"field": field, "message": "given twice"}]


def test_a_name_with_half_a_surrogate_is_refused(target: Target) -> None:
    """And shown in the answer, which is Unicode all the same."""
    record = target.body[:-1] + rb', "\ud800": 1}'
    (response,) = target.converse(post(record), answers=1).responses
    assert (response.status, is_problem(response)) == (422, True)


def test_continue_is_said_before_the_body_is_sent(target: Target) -> None:
    """Expect: 100-continue, as curl does for large bodies."""
    whole = post(target.body, "Expect: 100-continue")
    head, body = whole[: -len(target.body)], target.body
    got = target.converse(head, 0.3, body, answers=1)
    assert [response.status for response in got.responses] == [100, 200]
    assert target.is_right(got.responses[1], target.record)


def test_requests_ahead_are_answered_in_order(target: Target) -> None:
    """Each answer is that of the request in its place, batches between single records too."""
    records = [target.varied(number) for number in range(60)]
    sends = [
        post(json.dumps({"instances": [record]} if number % 3 else record).encode(),
             path="/predict/batch" if number % 3 else "/predict")
        for number, record in enumerate(records)
    ]  # fmt: skip
    got = target.converse(b"".join(sends), answers=60)
    for number, (response, record) in enumerate(zip(got.responses, records, strict=True)):
        answer = response.json()
        prediction = answer["predictions"][0] if number % 3 else answer
        expected = target.reference.probabilities(record)
        assert prediction["probabilities"] == pytest.approx(expected, abs=1e-6)


def test_a_client_that_does_not_take_its_answers_is_dropped(target: Target) -> None:
    """It sends on and reads nothing: what is kept for it is bounded, in bytes and in time."""
    wanted = request(path="/openapi.json") * 1000
    with socket.create_connection(target.address, timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            client.sendall(wanted * 1000)
