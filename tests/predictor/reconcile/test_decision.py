"""The decision as a table: the desired version against the serving one."""

import pytest

from predictor.reconcile.decision import (
    Failure,
    Load,
    NoChange,
    RegistryStatus,
    Stop,
    decide,
    retry_delay,
    why_nothing,
)
from tests.predictor.parts import version

A, B = version(1), version(2)
AGAIN = version(2, created=5)  # the number of a deleted version, given to another one
STOP = Stop()


def failed(version, retry_at=10.0):
    return Failure(version, "fetch", "no such file", 1, 0.0, retry_at)


@pytest.mark.parametrize(
    ("aspired", "serving", "failure", "now", "setting", "action"),
    [
        (A, None, None, 0, "stop", Load(A)),
        (A, A, None, 0, "stop", NoChange()),
        (B, A, None, 0, "stop", Load(B)),
        (A, B, None, 0, "stop", Load(A)),
        (B, AGAIN, None, 0, "stop", Load(B)),
        (None, A, None, 0, "stop", STOP),
        (None, A, None, 0, "keep", NoChange()),
        (None, None, None, 0, "stop", NoChange()),
        (None, None, None, 0, "keep", NoChange()),
        (None, A, failed(B), 0, "stop", STOP),
        (B, A, failed(B), 9.9, "stop", NoChange()),
        (B, A, failed(B), 10, "stop", Load(B)),
        (B, None, failed(B), 9.9, "stop", NoChange()),
        (B, A, failed(A), 0, "stop", Load(B)),
        (A, A, failed(B), 99, "stop", NoChange()),
        (version(2, updated=7), A, failed(B), 0, "stop", Load(B)),
        (version(2, onnx_sha256="x"), A, failed(B), 0, "stop", Load(B)),
        (AGAIN, A, failed(B), 0, "stop", Load(AGAIN)),
        (version(1, updated=7, note="edited"), A, None, 0, "stop", NoChange()),
    ],
)
def test_every_case_has_one_action(  # noqa: PLR0917  a table's columns
    aspired, serving, failure, now, setting, action
):
    """Level-triggered: only the present state decides."""
    assert decide(aspired, serving, failure, now, setting) == action


def test_the_delay_doubles_up_to_a_limit():
    """A version that never loads is tried again forever, with long delays."""
    assert [retry_delay(n, 2) for n in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert retry_delay(9, 2) == retry_delay(10_000, 2) == 300
    assert retry_delay(1, 3600) == 300


@pytest.mark.parametrize(
    ("known", "failure", "loading", "words"),
    [
        (RegistryStatus(), None, None, "not been polled yet"),
        (
            RegistryStatus(fault="at http://registry"),
            None,
            None,
            "has not said which version may serve",
        ),
        (RegistryStatus(A, 1.0), None, A, "m version 1 is being loaded"),
        (RegistryStatus(A, 1.0), failed(A), None, "m version 1 could not be loaded (fetch)"),
        (RegistryStatus(None, 1.0), None, None, "promote one"),
        (RegistryStatus(None, 1.0, "down"), None, None, "promote one"),
    ],
)
def test_the_reason_for_nothing_is_the_nearest_one(known, failure, loading, words):
    """The client gets the reason why there is no prediction."""
    assert words in why_nothing(known, failure, loading)
