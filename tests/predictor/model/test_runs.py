"""Calls that take too long are stopped, and only those."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from demo.processes import ROOT
from predictor.errors import InferenceTimeout
from predictor.inference.batcher import Batcher
from predictor.model.loader import load
from predictor.model.runs import WatchedRuns
from predictor.model.servable import Cost, Interrupt
from predictor.protocols.predict.records import OneRecord, Records
from tests.predictor.graphs import counting, one_long_node
from tests.predictor.parts import Counted, version, write_artifact

FOREVER = 1e15

ONE, MANY = OneRecord(), Records()


def body(largest):
    return json.dumps({"feature_0": largest, "feature_1": 1}).encode()


def value(answered):
    return json.loads(answered)["prediction"]


@pytest.fixture
def servable_of(tmp_path):
    """Loads a graph, with calls that are watched for so many seconds."""

    def make(model, runs):
        return load(version(1), write_artifact(tmp_path, model), Interrupt(), runs=runs)

    return make


@pytest.fixture
def servable(servable_of):
    return servable_of(counting(), WatchedRuns(1))


async def in_thread(work):
    """In a thread of its own, which is new."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def test_a_call_that_loops_for_ever_is_stopped(servable):
    """Also in the thread that everything else runs in; the next call is answered."""
    for _ in range(2):
        with pytest.raises(InferenceTimeout, match=r"within 1 s .*PREDICTOR_INFERENCE_SECONDS"):
            servable.answer([(FOREVER, 1.0)])
        assert servable.answer([(3.0, 1.0)])[0].prediction == 4


async def test_on_the_event_loop_it_may_take_less(servable_of):
    """Nothing else is answered meanwhile."""
    servable = servable_of(counting(), WatchedRuns(600))
    with pytest.raises(InferenceTimeout):
        servable.answer([(FOREVER, 1.0)])


async def test_many_threads_are_watched_at_once(servable):
    """Each for itself: one that is quick is not stopped with one that is not."""
    quick = [in_thread(partial(servable.answer, [(float(n), 1.0)])) for n in range(20)]
    slow = in_thread(partial(servable.answer, [(FOREVER, 1.0)]))
    stopped, *answered = await asyncio.gather(slow, *quick, return_exceptions=True)
    assert isinstance(stopped, InferenceTimeout)
    assert [answers[0].prediction for answers in answered] == [n + 1 for n in range(20)]


def test_a_call_is_not_stopped_in_place_of_the_one_before(servable_of):
    """The watch looks, the call ends by itself, another begins, and only then it is told to stop."""
    runs = WatchedRuns(600)
    servable = servable_of(counting(), runs)
    servable.answer([(1.0, 1.0)])
    slot = runs._own.slot
    slot.stopped = slot.number - 1
    slot.options.terminate = True
    assert servable.answer([(3.0, 1.0)])[0].prediction == 4


def test_an_error_of_the_graph_is_no_timeout(servable):
    """It is told as it was."""
    with pytest.raises(Exception, match="Invalid"):
        servable.compute(["value"], {"X": np.zeros((1, 3, 3, 3), np.float32)})


@pytest.mark.whole
async def test_of_the_records_of_a_tick_only_the_one_to_blame_is_refused(servable):
    """All others get their answers, in this tick and in later ones; each is told once."""
    timed_out = []
    batcher = Batcher(lambda: servable, Counted(), timed_out=timed_out.append)
    assert servable.rows_on_loop
    for _ in range(2):
        asked = [3, 4, FOREVER, 5, 6, 7, 8]
        answered = await asyncio.gather(
            *(batcher.infer(ONE, body(each)) for each in asked), return_exceptions=True
        )
        assert isinstance(answered.pop(2), InferenceTimeout)
        assert [value(each) for each in answered] == [4, 5, 6, 7, 8, 9]
    assert set(timed_out) == {servable}
    assert len(timed_out) == 3  # on the loop, then twice alone


async def test_a_batch_with_such_a_record_is_refused(servable):
    """And the next one is not."""
    timed_out = []
    batcher = Batcher(lambda: servable, Counted(), timed_out=timed_out.append)
    good, bad = ([body(1), body(each)] for each in (2, FOREVER))
    with pytest.raises(InferenceTimeout):
        await batcher.infer(MANY, b'{"instances": [%s]}' % b",".join(bad))
    told = json.loads(await batcher.infer(MANY, b'{"instances": [%s]}' % b",".join(good)))
    assert [each["prediction"] for each in told["predictions"]] == [2, 3]
    assert len(timed_out) == 1


async def test_a_stuck_call_is_reported(servable_of):
    """On the event loop: then the process's watcher ends it."""
    stuck = threading.Event()
    servable = servable_of(one_long_node(), WatchedRuns(1, stuck.set, 0.5))
    with pytest.raises(InferenceTimeout):
        servable.answer([(60_000.0, 1.0)])
    assert stuck.is_set()


def test_rows_a_call_are_fewer_where_each_takes_long(servable):
    """A batch of a slow model is not stopped for being a batch."""
    assert replace(servable, cost=Cost()).rows_a_call == 512
    assert replace(servable, cost=Cost(1e-5, 1e-6)).rows_a_call == 512
    assert replace(servable, cost=Cost(0.05)).rows_a_call == 20
    assert replace(servable, cost=Cost(5)).rows_a_call == 1


STUCK = """
import asyncio, sys
from pathlib import Path
from predictor.model.servable import Interrupt
from predictor.model.loader import load
from predictor.logs import set_up
from predictor.model.runs import WatchedRuns
from tests.predictor.graphs import one_long_node
from tests.predictor.parts import version, write_artifact

async def main():
    runs = WatchedRuns(1, stuck_seconds=0.5)
    fetched = write_artifact(Path(sys.argv[1]), one_long_node())
    load(version(1), fetched, Interrupt(), runs=runs).answer([(150_000.0, 1.0)])

set_up("info")
asyncio.run(main())
"""


@pytest.mark.whole
def test_a_loop_that_stands_still_ends_the_process(tmp_path):
    """Its supervisor starts it again: it would answer nobody for a minute."""
    ended = subprocess.run(
        [sys.executable, "-c", STUCK, tmp_path], cwd=ROOT, capture_output=True, timeout=45,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "event_loop_stuck"
