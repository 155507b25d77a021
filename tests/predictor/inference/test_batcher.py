"""Rows of one tick become one call, and nobody's answer depends on who else asked."""

import asyncio
import json
from functools import partial

import pytest

from predictor.errors import (
    FieldError,
    InvalidRecord,
    MalformedBody,
    NotFinite,
    NothingServing,
    NotRecorded,
)
from predictor.inference.batcher import Batcher
from predictor.inference.compute import Computed, compute_one
from predictor.inference.protocol import read_each, write_each
from predictor.model.answers import Answer
from predictor.protocols.predict.records import OneRecord, Records
from tests.predictor.graphs import regressor, with_metadata
from tests.predictor.parts import Counted, servable_of

ONE, MANY = OneRecord(), Records()


def body(*values):
    return json.dumps(dict(zip(("feature_0", "feature_1"), values, strict=True))).encode()


def predictions(body):
    return [each["prediction"] for each in json.loads(body)["predictions"]]


@pytest.fixture
def observer():
    return Counted()


@pytest.fixture
def batcher(tmp_path, observer):
    servable = servable_of(tmp_path, regressor(op="Log"))
    return Batcher(lambda: servable, observer)


async def test_requests_of_one_tick_are_one_call(batcher, observer):
    """And each gets the answer to its own row."""
    asked = await asyncio.gather(*(batcher.infer(ONE, body(2**i, 0)) for i in range(50)))
    assert observer.calls == [50]
    assert [json.loads(a)["prediction"] for a in asked] == pytest.approx(
        [i * 0.693147 for i in range(50)], rel=1e-4
    )


async def test_a_lone_request_waits_for_nobody(batcher, observer):
    """One after the other is one call each."""
    for _ in range(3):
        await batcher.infer(ONE, body(1, 0))
    await asyncio.sleep(0)  # what was answered is counted after
    assert observer.calls == [1, 1, 1]


async def test_watchers_are_told_of_every_computation(tmp_path, observer):
    """Of a tick and of a large request; not of requests that could not be read."""
    servable, told = servable_of(tmp_path, regressor(op="Log")), []
    batcher = Batcher(lambda: servable, observer, watchers=[lambda *seen: told.append(seen)])
    many = json.dumps({"instances": [{"feature_0": 1, "feature_1": 0}] * 2000}).encode()
    await asyncio.gather(
        batcher.infer(ONE, body(1, 0)),
        batcher.infer(ONE, b"{"),
        batcher.infer(MANY, many),
        return_exceptions=True,
    )
    await asyncio.sleep(0)
    assert sorted(len(computed.rows) for _, computed in told) == [1, 2000]
    assert {each for each, _ in told} == {servable}


async def test_rows_that_are_tried_out_are_kept_and_no_more(tmp_path, observer):
    """As such, whatever protocol they came by; the observer and the watchers are not told of them."""
    servable, kept, told = servable_of(tmp_path, regressor(op="Log")), [], []

    def keep(servable, callers, computed):
        kept.extend((protocol.name, len(read.rows)) for _, protocol, read in computed.groups)
        return computed.results

    batcher = Batcher(
        lambda: servable, observer, keep=keep, watchers=[lambda *seen: told.append(seen)]
    )
    work = partial(compute_one, MANY, b'{"instances": [%b, %b]}' % (body(1, 0), body(2, 0)))
    tried = await batcher.compute(work, hypothetical=True)
    assert await batcher.compute(work) == tried
    await asyncio.sleep(0)
    assert kept == [("what_if", 2), ("predict_batch", 2)]
    assert observer.calls == [2]
    assert [len(computed.rows) for _, computed in told] == [2]


async def test_what_is_tried_out_is_refused_if_it_cannot_be_kept(tmp_path, observer):
    """No prediction leaves without a record where that is asked for."""
    servable = servable_of(tmp_path, regressor(op="Log"))
    batcher = Batcher(lambda: servable, observer, keep=lambda *_: [NotRecorded()])
    work = partial(compute_one, MANY, b'{"instances": [%b]}' % body(1, 0))
    with pytest.raises(NotRecorded):
        await batcher.compute(work, hypothetical=True)


async def test_one_bad_request_does_not_hurt_the_others(batcher, observer):
    """Not JSON, a wrong field, no finite answer: each hears of its own, the rest are answered."""
    bodies = [body(1, 0), b"{", b'{"feature_0": 1}', body(-1, 0), body(1, 0)]
    asked = await asyncio.gather(*map(partial(batcher.infer, ONE), bodies), return_exceptions=True)
    kinds = [type(a) if isinstance(a, Exception) else json.loads(a)["prediction"] for a in asked]
    assert kinds == [0.0, MalformedBody, InvalidRecord, NotFinite, 0.0]
    assert observer.calls == [3]


async def test_only_bad_requests_run_nothing(batcher, observer):
    """No empty batch is computed."""
    with pytest.raises(MalformedBody):
        await batcher.infer(ONE, b"")
    assert observer.calls == []


async def test_a_client_that_leaves_does_not_hurt_the_others(batcher):
    """Its row is computed for nobody."""
    tasks = [asyncio.create_task(batcher.infer(ONE, body(1, 0))) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    left = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(a) for a in left] == [bytes, asyncio.CancelledError, bytes]


async def test_everybody_hears_that_nothing_serves():
    """The reason reaches each client that waits."""

    def nothing():
        raise NothingServing("promote one")

    batcher = Batcher(nothing, Counted())
    asked = await asyncio.gather(
        *(batcher.infer(ONE, b"{}") for _ in range(3)), return_exceptions=True
    )
    assert [str(a) for a in asked] == ["promote one"] * 3
    with pytest.raises(NothingServing):
        await batcher.infer(MANY, b"{}")


@pytest.mark.parametrize("answers", [[], [Answer(1.0)] * 5])
async def test_a_servable_that_answers_another_number_of_rows_leaves_nobody_waiting(answers):
    """A fault of ours is an error, not a request that hangs."""

    class Wrong:
        rows_on_loop = rows_a_call = 99
        decoder = type(
            "Anything", (), {"records_in_range": staticmethod(lambda b: [(1.0,)] * len(b))}
        )

        @staticmethod
        def answer(rows):
            return answers

    batcher = Batcher(Wrong, Counted())
    asked = await asyncio.wait_for(
        asyncio.gather(*(batcher.infer(ONE, b"") for _ in range(3)), return_exceptions=True), 5
    )
    assert [type(a) for a in asked] == [ValueError] * 3


async def test_a_tick_is_answered_by_one_servable(tmp_path):
    """The swap between two ticks is between two batches; every answer names its own version."""
    servables = [servable_of(tmp_path / str(n), regressor(), number=n) for n in (1, 2)]
    given = iter(servables)
    batcher = Batcher(lambda: next(given), Counted())
    for expected in servables:
        asked = await asyncio.gather(*(batcher.infer(ONE, body(1, 2)) for _ in range(5)))
        named = {json.loads(answer)["model_version"] for answer in asked}
        assert named == {expected.model_version.version}


async def test_a_batch_is_one_call_and_keeps_its_order(batcher, observer):
    """All of its rows from one servable."""
    rows = [{"feature_0": 1, "feature_1": i} for i in range(3)]
    answer = await batcher.infer(MANY, json.dumps({"instances": rows}).encode())
    assert predictions(answer) == pytest.approx([0.0, 0.693147, 1.098612])
    await asyncio.sleep(0)
    assert observer.calls == [3]


async def test_a_batch_names_the_row_that_has_no_answer(batcher):
    """As `instances[1]`."""
    rows = [{"feature_0": 1, "feature_1": 0}, {"feature_0": -1, "feature_1": 0}]
    with pytest.raises(InvalidRecord) as caught:
        await batcher.infer(MANY, json.dumps({"instances": rows}).encode())
    assert [error.field for error in caught.value.errors] == ["instances[1]"]


class Doubled:
    """A protocol whose bodies are numbers, and whose results are twice the answers; `fails` says where."""

    name = "doubled"

    def __init__(self, fails=""):
        self._fails = fails

    def read(self, servable, bodies):
        def read_one(body):
            if self._fails == "read":
                raise InvalidRecord([FieldError("x", "is wrong")])
            return [servable.signature.pack(float(body), 0.0)], servable.model_version.version

        return read_each(read_one, bodies)

    def write(self, servable, read, answers):
        def write_one(part, version):
            if self._fails == "write":
                raise InvalidRecord([FieldError("x", "cannot be told")])
            (answer,) = part
            if isinstance(answer, Exception):
                raise answer
            return version, 2 * answer.prediction

        return write_each(write_one, read, answers)


DOUBLED = Doubled()


async def test_requests_of_several_protocols_in_one_tick_are_one_call(batcher, observer):
    """Whatever protocol they came by; each is told in its own way, and hears of its own fault."""
    asked = await asyncio.gather(
        batcher.infer(ONE, body(2, 0)),
        batcher.infer(DOUBLED, b"4.0"),
        batcher.infer(Doubled(fails="read"), b"4"),
        batcher.infer(ONE, b"{"),
        batcher.infer(DOUBLED, b"-1.0"),
        batcher.infer(Doubled(fails="write"), b"8"),
        batcher.infer(ONE, body(8, 0)),
        return_exceptions=True,
    )
    assert observer.calls == [5]
    assert json.loads(asked[0])["prediction"] == pytest.approx(0.693147, rel=1e-4)
    assert asked[1] == ("1", pytest.approx(2 * 1.386294, rel=1e-4))
    faults = [type(asked[number]) for number in (2, 3, 4, 5)]
    assert faults == [InvalidRecord, MalformedBody, NotFinite, InvalidRecord]
    assert str(asked[2]) == "x: is wrong"
    assert "no finite answer" in str(asked[4])
    assert str(asked[5]) == "x: cannot be told"
    assert json.loads(asked[6])["prediction"] == pytest.approx(2.079442, rel=1e-4)


async def test_work_on_many_rows_is_computed_in_calls_that_are_counted(batcher, observer):
    """All on one servable; what it raises reaches who asked."""

    def work(servable, run):
        rows = [servable.signature.pack(1.0, 0.0)] * 1100
        calls = [(first, len(answers)) for first, answers in run(rows)]
        return Computed([calls], [], rows, None)

    assert await batcher.compute(work) == [(0, 512), (512, 512), (1024, 76)]
    await asyncio.sleep(0)
    assert observer.calls == [512, 512, 76]

    def wrong(servable, run):
        raise InvalidRecord([FieldError("x", "is wrong")])

    with pytest.raises(InvalidRecord):
        await batcher.compute(wrong)


async def test_a_record_has_its_warnings_beside_other_protocols(tmp_path, observer):
    """Whichever requests share its tick."""
    profiles = [{"name": "a", "minimum": 0, "maximum": 5}, {"name": "b"}]
    model = with_metadata(regressor(), feature_names=["a", "b"], feature_profiles=profiles)
    servable = servable_of(tmp_path, model)
    batcher = Batcher(lambda: servable, observer)
    within, question, outside = await asyncio.gather(
        batcher.infer(ONE, b'{"a": 5, "b": 9}'),
        batcher.infer(DOUBLED, b"7.0"),
        batcher.infer(ONE, b'{"a": 6, "b": 9}'),
    )
    assert observer.calls == [3]
    assert "warnings" not in json.loads(within)
    assert question == ("1", 14.0)
    assert [each["feature"] for each in json.loads(outside)["warnings"]] == ["a"]
