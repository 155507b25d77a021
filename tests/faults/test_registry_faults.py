"""The registry fails in every way it can: clients notice nothing, ops are told, and it is survived."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import (
    REGISTRY,
    Asking,
    Elsewhere,
    Fault,
    World,
    changed,
    cut,
    dated,
    failing,
    huge,
    length_off_by,
    never,
    recovers,
    replied,
    reset,
    slowly,
)
from tests.predictor.parts import http
from tests.shared import Server

PAGE = b"<!doctype html><title>Welcome</title>"
ANOTHER = {"name": "another", "version": "9", "source": "s", "creation_timestamp": 1}
NOT_OURS = json.dumps({"model_versions": [ANOTHER]}).encode()
FAULTS = {
    "500": (replied(http("500 Internal Server Error", b"Traceback")), "unreachable", "HTTP 500"),
    "502 page": (replied(http("502 Bad Gateway", PAGE)), "unreachable", "HTTP 502"),
    "page": (replied(http("200 OK", PAGE)), "invalid_response", "not that of an MLflow registry"),
    "404 page": (replied(http("404 Not Found", PAGE)), "invalid_response", "HTTP 404"),
    "truncated JSON": (changed(cut), "invalid_response", "truncated"),
    "length too short": (changed(length_off_by(-20)), "invalid_response", "truncated"),
    "length too long": (changed(length_off_by(20)), "unreachable", "did not answer"),
    "empty answer": (replied(b""), "unreachable", "cut off"),
    "empty body": (replied(http("200 OK")), "invalid_response", "not that of an MLflow registry"),
    "reset": (reset, "unreachable", "did not answer"),
    "401": (replied(http("401 Unauthorized", b"log in")), "refused", "MLFLOW_TRACKING_USERNAME"),
    "403": (
        replied(http("403 Forbidden", b"no")),
        "refused",
        "a client without credentials needs READ",
    ),
    "another model": (
        replied(http("200 OK", NOT_OURS)),
        "invalid_response",
        "'another' version '9'",
    ),
    "never": (never, "unreachable", "ReadTimeout"),
    "byte by byte": (slowly, "unreachable", "no whole answer"),
}


@pytest.fixture(scope="module")
def world(make_world: Make, mlflow_server: Server) -> Iterator[World]:
    with make_world(mlflow_server) as world:
        yield world


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        pytest.param(
            *fault, id=name, marks=[pytest.mark.whole] if fault[0] in (never, slowly) else []
        )
        for name, fault in FAULTS.items()
    ],
)
def test_the_registry_gives_no_usable_answer(
    world: World, asked: Asking, fault: Fault, outcome: str, reason: str
) -> None:
    """The serving version goes on, one line and `/model` say why; then what was promoted serves.

    The line is `registry_unreachable`, `registry_refused` or `registry_invalid_response`.
    """
    promoted, mark = world.good(), world.mark()
    with failing(world, outcome, reason):
        world.registry_fails(fault)
        world.promote(promoted)
    if fault not in (never, slowly):
        asked_before = len(world.proxy.asked)
        wait_until(lambda: len(world.proxy.asked) > asked_before + 2, "it is asked again")
        assert len(world.logged(f"registry_{outcome}", mark)) == 1
    world.proxy.behave()
    recovers(world, promoted, mark)


def test_the_registry_redirects_elsewhere(
    world: World, asked: Asking, elsewhere: Elsewhere
) -> None:
    """No redirect is followed: the credentials are for one server."""
    promoted, mark = world.good(), world.mark()
    with failing(world, "invalid_response", "HTTP 302"):
        world.registry_fails(elsewhere.redirect())
        world.promote(promoted)
    world.proxy.behave()
    recovers(world, promoted, mark)
    assert not elsewhere.was_contacted()


def test_an_answer_of_100_megabytes(world: World, asked: Asking) -> None:
    """It is not read to its end, nor kept."""
    promoted, mark = world.good(), world.mark()
    most = _peak_memory(world)
    with failing(world, "invalid_response", "larger than"):
        world.registry_fails(huge)
        world.promote(promoted)
    assert _peak_memory(world) < most + 64_000_000
    world.proxy.behave()
    recovers(world, promoted, mark)


@pytest.mark.parametrize("year", [2001, 2099])
def test_the_registrys_clock_is_wrong(world: World, asked: Asking, year: int) -> None:
    """The age of its word is measured by the predictor's own clock."""
    answered = world.metric("predictor_registry_polls_total", outcome="answered")
    world.proxy.misbehave(REGISTRY, changed(dated(f"Tue, 01 Jan {year} 00:00:00 GMT")))
    world.serves(world.promote(world.good()))
    assert 0 <= world.model()["registry"]["last_answer_age_seconds"] < 600
    success = world.metric("predictor_registry_last_success_timestamp_seconds")
    assert success == pytest.approx(time.time(), abs=600)
    assert world.metric("predictor_registry_polls_total", outcome="answered") > answered
    world.proxy.behave()


def _peak_memory(world: World) -> int:
    """The most resident bytes that the predictor ever had."""
    status = Path(f"/proc/{world.service.child.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
