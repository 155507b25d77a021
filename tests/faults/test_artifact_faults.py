"""A version that is not fit to serve never does: what serves goes on, and ops are told why."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.end_to_end.parts import wait_until
from tests.faults.broken import BROKEN, HANGS, MOST, Broken
from tests.faults.conftest import Make
from tests.faults.parts import (
    ARTIFACTS,
    POLL_SECONDS,
    Asking,
    Elsewhere,
    Fault,
    World,
    changed,
    cut,
    huge,
    length_off_by,
    linear,
    mlmodel,
    never,
    replied,
    reset,
    slowly,
)
from tests.predictor.graphs import with_external_data
from tests.predictor.parts import http
from tests.shared import Server

pytestmark = pytest.mark.whole

PAGE = b"<!doctype html><title>Welcome</title>"
DOWNLOADS = {
    "500": (replied(http("500 Internal Server Error", b"Traceback")), "HTTP 500"),
    "502 page": (replied(http("502 Bad Gateway", PAGE)), "HTTP 502"),
    "page": (replied(http("200 OK", PAGE)), "MLmodel"),
    "401": (replied(http("401 Unauthorized", b"log in")), "HTTP 401"),
    "403": (replied(http("403 Forbidden", b"no")), "HTTP 403"),
    "truncated": (changed(cut), "MLmodel"),
    "length too short": (changed(length_off_by(-30)), "MLmodel"),
    "length too long": (changed(length_off_by(30)), "MLmodel: "),
    "empty answer": (replied(b""), "cut off"),
    "reset": (reset, "MLmodel: "),
    "100 megabytes": (huge, "PREDICTOR_MAX_MODEL_BYTES"),
}


@pytest.fixture(scope="module")
def world(make_world: Make, mlflow_server: Server) -> Iterator[World]:
    with make_world(mlflow_server, PREDICTOR_MAX_MODEL_BYTES=str(MOST)) as world:
        yield world


def fails(world: World, number: str, stage: str, words: str) -> None:
    """What ops see of a version that was promoted and cannot serve; returns once it was tried twice."""
    wait_until(lambda: len(_failures(world, number)) > 1, f"version {number} has failed twice")
    told = world.model()
    failure = told["last_failure"]
    assert (failure["model_version"], failure["stage"]) == (number, stage)
    assert words in failure["reason"]
    assert told["desired"]["model_version"] == number
    assert told["serving"]["model_version"] != number
    assert world.metric("predictor_load_failures_total", stage=stage) >= 2
    lines = _failures(world, number)
    assert [line["attempts"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["retry_seconds"] for line in lines[:2]] == pytest.approx(
        [POLL_SECONDS, 2 * POLL_SECONDS]
    )
    for line in lines:
        assert (line["level"], line["stage"]) == ("error", stage)
        assert words in line["reason"]
        assert line["serving"] == told["serving"]["model_version"]


def _failures(world: World, number: str) -> list[dict]:
    return [line for line in world.logged("load_failed") if line["model_version"] == number]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_version_that_is_not_fit_to_serve(world: World, asked: Asking, broken: Broken) -> None:
    """The one before goes on, the reason is told, it is tried again; the next good one serves."""
    number = world.promote(world.version(broken.files, **broken.tags))
    fails(world, number, broken.stage, broken.words)
    world.serves(world.promote(world.good()))
    assert not [path for path in world.proxy.asked if ".." in path or "passwd" in path]


@pytest.mark.parametrize(("fault", "words"), DOWNLOADS.values(), ids=DOWNLOADS)
def test_a_download_that_fails(world: World, asked: Asking, fault: Fault, words: str) -> None:
    """The version itself is good, and serves by itself once it can be fetched."""
    world.proxy.misbehave(ARTIFACTS, fault)
    number = world.promote(world.good())
    fails(world, number, "fetch", words)
    world.proxy.behave()
    world.serves(number)


def test_a_download_that_is_redirected(world: World, asked: Asking, elsewhere: Elsewhere) -> None:
    """It is not followed: files come from the registry that was set, or not at all."""
    world.proxy.misbehave(ARTIFACTS, elsewhere.redirect())
    number = world.promote(world.good())
    fails(world, number, "fetch", "HTTP 302")
    world.proxy.behave()
    world.serves(number)
    assert not elsewhere.was_contacted()


def test_the_registry_fails_between_its_word_and_the_files(world: World, asked: Asking) -> None:
    """It names a version, and then cannot say where its files are."""
    world.proxy.misbehave("get-download-uri", replied(http("500 Oops")))
    number = world.promote(world.good())
    fails(world, number, "fetch", "HTTP 500")
    assert world.model()["registry"]["reachable"]
    world.proxy.behave()
    world.serves(number)


def test_another_is_promoted_while_one_loads(world: World, asked: Asking) -> None:
    """The first is given up, and never serves."""
    mark = world.mark()
    world.proxy.misbehave(ARTIFACTS, never)
    first = world.promote(world.good())
    wait_until(lambda: bool(world.logged("load_started", mark)), "it loads")
    second = world.promote(world.good())
    wait_until(lambda: bool(world.logged("load_superseded", mark)), "it is given up")
    world.proxy.behave()
    world.serves(second)
    # The second may have asked for its files while they never came, and then once more.
    started = [line["model_version"] for line in world.logged("load_started", mark)]
    assert list(dict.fromkeys(started)) == [first, second]
    superseded = world.logged("load_superseded", mark)
    assert [line["model_version"] for line in superseded] == [first]


def test_tried_at_once_when_edited_or_replaced(world: World, asked: Asking) -> None:
    """However long the delay has grown, a tag or another file is a reason to try."""
    run_id, uri = world.registered.artifact({"MLmodel": mlmodel()})
    number = world.registered.version(world.name, uri, run_id)
    world.promote(number)
    wait_until(lambda: len(_failures(world, number)) == 7, "the delay has grown")
    delays = [line["retry_seconds"] for line in _failures(world, number)]
    assert delays == pytest.approx([POLL_SECONDS * 2**n for n in range(7)])
    world.registered.tag(world.name, int(number), "note", "looked at")
    wait_until(lambda: len(_failures(world, number)) == 8, "it is tried again")
    assert _seconds_between(*_failures(world, number)[-2:]) < 6.4
    listed = _listings(world)
    wait_until(lambda: _listings(world) > listed + 1, "it is known how its files look")
    world.slopes[number] = 3.0
    world.registered.put(uri, {"model.onnx": linear(3.0)})
    world.serves(number)
    swap = world.logged("swapped")[-1]
    assert _seconds_between(_failures(world, number)[-1], swap) < 12.8


def test_external_data_that_is_there(impatient: World) -> None:
    """Weights in a file of their own are fetched with the graph, and are the ones that answer."""
    files = {
        "MLmodel": mlmodel(), "model.onnx": with_external_data("weights.bin"),
        "weights.bin": b"\0\0\x80?\0\0\0@",
    }  # fmt: skip
    impatient.serves(impatient.promote(impatient.version(files)))
    answer = impatient.service.predict({"feature_0": 3.0, "feature_1": 5.0})
    assert answer["prediction"] == 13.0


class TestImpatient:
    """A predictor that gives a load two seconds."""

    @staticmethod
    def test_a_warm_up_that_hangs(impatient: World) -> None:
        """It is ended, told, and out of the way of the next version."""
        before = impatient.good()
        impatient.serves(impatient.promote(before))
        number = impatient.promote(impatient.version(HANGS.files))
        fails(impatient, number, HANGS.stage, HANGS.words)
        assert impatient.service.serving() == before
        impatient.serves(impatient.promote(impatient.good()))

    @staticmethod
    @pytest.mark.parametrize("fault", [slowly, never])
    def test_a_download_without_end(impatient: World, fault: Fault) -> None:
        """The same; a newer version does not wait for it."""
        impatient.serves(impatient.promote(impatient.good()))
        impatient.proxy.misbehave(ARTIFACTS, fault)
        number = impatient.promote(impatient.good())
        wait_until(lambda: bool(_failures(impatient, number)), "it has failed")
        assert impatient.model()["last_failure"]["stage"] == "fetch"
        assert "PREDICTOR_LOAD_SECONDS" in impatient.model()["last_failure"]["reason"]
        wait_until(lambda: impatient.model()["loading"] is not None, "it is tried again")
        impatient.proxy.behave()
        impatient.serves(impatient.promote(impatient.good()))


@pytest.fixture(scope="module")
def impatient(make_world: Make, mlflow_server: Server) -> Iterator[World]:
    with make_world(mlflow_server, PREDICTOR_LOAD_SECONDS="2") as world:
        yield world


def _listings(world: World) -> int:
    return sum("?path=" in path for path in world.proxy.asked)


def _seconds_between(first: dict, second: dict) -> float:
    start, end = (datetime.fromisoformat(line["timestamp"]) for line in (first, second))
    return (end - start).total_seconds()
