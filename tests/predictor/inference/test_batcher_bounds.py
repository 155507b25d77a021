"""What waits is bounded, and what would hold up the loop is computed beside it."""

import asyncio
import json
import threading
from functools import partial

import pytest

from predictor.errors import InvalidRecord, MalformedBody, Overloaded
from predictor.inference.batcher import LARGE, Batcher
from predictor.inference.protocol import Read, TakesLong
from predictor.protocols.predict.records import OneRecord, Records
from tests.predictor.graphs import regressor
from tests.predictor.parts import Counted, servable_of, version

ONE, MANY = OneRecord(), Records()


def body(*values):
    return json.dumps(dict(zip(("feature_0", "feature_1"), values, strict=True))).encode()


@pytest.fixture
def servable(tmp_path):
    return servable_of(tmp_path, regressor())


async def test_records_beyond_the_bound_are_refused(servable):
    """Those within it are answered, and in the next tick there is room again."""
    batcher = Batcher(lambda: servable, Counted(), max_rows=3)
    for _ in range(2):
        asked = await asyncio.gather(
            *(batcher.infer(ONE, body(1, 2)) for _ in range(5)), return_exceptions=True
        )
        assert [isinstance(each, Overloaded) for each in asked] == [False] * 3 + [True] * 2
    assert "3 requests" in str(asked[-1])


class Slow:
    """A servable whose answers wait."""

    model_version = version(1)

    def __init__(self, servable, rows_on_loop=99):
        self.decoder = servable.decoder
        self.may_go_on = threading.Event()
        self.reached = threading.Event()
        self.signature = servable.signature
        self.rows_on_loop = rows_on_loop
        self.rows_a_call = 512
        self.encoder = servable.encoder
        self.ranges = servable.ranges
        self._answer = servable.answer

    def answer(self, rows):
        self.reached.set()
        assert self.may_go_on.wait(60)
        return self._answer(rows)


async def test_batches_beyond_the_bound_are_refused(servable):
    """At once, while those within it wait; afterwards there is room again."""
    slow = Slow(servable)
    batcher = Batcher(lambda: slow, Counted(), max_batches=2)
    batch = b'{"instances": [%s]}' % body(1, 2) + b" " * LARGE * 6
    within = [asyncio.create_task(batcher.infer(MANY, batch)) for _ in range(2)]
    await asyncio.sleep(0)
    for refused in (
        batcher.infer(MANY, batch),
        batcher.infer(ONE, body(1, 2) + b" " * LARGE),
    ):
        with pytest.raises(Overloaded, match="2 large requests"):
            await refused
    slow.may_go_on.set()
    (one,) = {*await asyncio.gather(*within)}
    assert await batcher.infer(MANY, batch) == one


async def test_a_bad_batch_leaves_its_place(servable):
    """Whatever is wrong with it."""
    batcher = Batcher(lambda: servable, Counted(), max_batches=1)
    for _ in range(3):
        with pytest.raises(MalformedBody):
            await batcher.infer(MANY, b"{")
    answer = await batcher.infer(MANY, b'{"instances": [%s]}' % body(1, 2))
    assert len(json.loads(answer)["predictions"]) == 1


async def test_a_large_record_is_answered_as_a_small_one_is(servable):
    """Also with its faults."""
    batcher = Batcher(lambda: servable, Counted())
    blanks = b" " * 20_000
    assert await batcher.infer(ONE, body(1, 2) + blanks) == await batcher.infer(ONE, body(1, 2))
    with pytest.raises(MalformedBody):
        await batcher.infer(ONE, blanks)
    with pytest.raises(InvalidRecord) as caught:
        await batcher.infer(ONE, b'{"feature_0": 1}' + blanks)
    assert [error.field for error in caught.value.errors] == ["feature_1"]


class Watched:
    """A protocol that remembers the threads in which it read, or refuses to read."""

    name = "watched"
    write = MANY.write

    def __init__(self, *, refuses=False):
        self.threads = []
        self.refuses = refuses

    def read(self, servable, bodies):
        self.threads.append(threading.current_thread())
        if self.refuses:
            return Read([], [], dict.fromkeys(range(len(bodies)), TakesLong()))
        return MANY.read(servable, bodies)


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_larger_body_is_read_on_the_loop_if_that_is_quick(servable, refuses):
    """Else in a thread, with the same result."""
    batcher = Batcher(lambda: servable, Counted(), max_batches=1)
    batch = b'{"instances": [%s]}' % body(1, 2)
    protocol = Watched()
    protocol.quick = Watched(refuses=refuses)
    for _ in range(3):
        assert await batcher.infer(protocol, batch + b" " * LARGE) == await batcher.infer(
            MANY, batch
        )
    assert {*protocol.quick.threads} == {threading.current_thread()}
    assert len(protocol.threads) == (3 if refuses else 0)
    assert threading.current_thread() not in protocol.threads


async def test_a_small_request_does_not_wait_for_larger_ones(servable):
    """A tick reads one larger body; beyond the bound, threads read them."""
    batcher = Batcher(lambda: servable, Counted(), max_batches=3)
    protocol = Watched()
    protocol.quick = Watched()
    batch = b'{"instances": [%s]}' % body(1, 2) + b" " * LARGE
    done, ended = [], asyncio.Event()

    def call_back(name, _):
        done.append(name)
        if len(done) == 6:
            ended.set()

    for number in range(5):
        batcher.submit(protocol, batch, partial(call_back, number))
    batcher.submit(ONE, body(1, 2), partial(call_back, "small"))
    await asyncio.wait_for(ended.wait(), 60)
    assert [each for each in done if each not in {3, 4}] == [0, "small", 1, 2]
    assert (len(protocol.quick.threads), len(protocol.threads)) == (3, 2)


async def test_small_batches_are_computed_on_the_loop(servable):
    """A tick takes as many as fit in the bytes that it reads, so that no thread has to help."""
    batcher = Batcher(lambda: servable, Counted())
    writers = []

    class Written(Watched):
        def write(self, servable, read, answers):
            writers.append(threading.current_thread())
            return MANY.write(servable, read, answers)

    batch = b'{"instances": [%s]}' % b",".join([body(1, 2)] * 10) + b" " * 6000
    protocol = Written()
    await asyncio.gather(*(batcher.infer(protocol, batch) for _ in range(32)))
    assert {*protocol.threads, *writers} == {threading.current_thread()}


async def test_a_slow_model_does_not_hold_up_the_loop(servable):
    """Its rows wait in threads, and what comes meanwhile becomes the next calls, in order."""
    slow = Slow(servable, rows_on_loop=0)
    observer = Counted()
    batcher = Batcher(lambda: slow, observer)
    first = [asyncio.create_task(batcher.infer(ONE, body(1, i))) for i in range(4)]
    assert await asyncio.to_thread(slow.reached.wait, 60)
    later = [asyncio.create_task(batcher.infer(ONE, body(1, i))) for i in range(4, 40)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in (*first, *later))
    slow.may_go_on.set()
    answers = [json.loads(each)["prediction"] for each in await asyncio.gather(*first, *later)]
    assert sum(observer.calls) == 40
    assert max(observer.calls) <= -(-36 // batcher._row_threads.max_used)
    alone = [json.loads(await batcher.infer(ONE, body(1, i)))["prediction"] for i in range(40)]
    assert answers == alone


async def test_what_a_slow_model_refuses_its_clients_hear(servable):
    """Each its own; and a fault of ours reaches all."""
    slow = Slow(servable, rows_on_loop=0)
    slow.may_go_on.set()
    batcher = Batcher(lambda: slow, Counted())
    asked = await asyncio.gather(
        *map(partial(batcher.infer, ONE), [b"{", body(1, 2), b"{}"]), return_exceptions=True
    )
    assert [type(each) for each in asked] == [MalformedBody, bytes, InvalidRecord]
    slow.answer = None
    asked = await asyncio.gather(*[batcher.infer(ONE, body(1, 2))] * 1, return_exceptions=True)
    assert [type(each) for each in asked] == [TypeError]


async def test_more_rows_than_the_loop_can_afford_take_turns(servable):
    """Other work gets its turn between them, and nobody waits in vain."""
    few = Slow(servable, rows_on_loop=3)
    few.may_go_on.set()
    observer = Counted()
    batcher = Batcher(lambda: few, observer)
    answers = await asyncio.gather(*(batcher.infer(ONE, body(1, i)) for i in range(10)))
    assert observer.calls == [3, 3, 3, 1]
    assert len({*answers}) == 10


async def test_a_large_batch_is_computed_in_parts(servable):
    """Between two of them, whatever else runs has its turn; the answer is as if it were one."""
    observer = Counted()
    batcher = Batcher(lambda: servable, observer)
    rows = b", ".join(body(1, i) for i in range(1200))
    answer = json.loads(await batcher.infer(MANY, b'{"instances": [%s]}' % rows))
    assert observer.calls == [512, 512, 176]
    alone = [json.loads(await batcher.infer(ONE, body(1, i)))["prediction"] for i in (0, 600, 1199)]
    assert [answer["predictions"][i]["prediction"] for i in (0, 600, 1199)] == alone
    with pytest.raises(InvalidRecord) as caught:
        await batcher.infer(MANY, b'{"instances": [%s, {"feature_0": 1}]}' % rows)
    assert [error.field for error in caught.value.errors] == ["instances[1200].feature_1"]


async def test_small_batches_use_no_more_threads_than_there_are(servable):
    """With more rows than the loop can afford, they wait; beyond the bound they are refused."""
    slow = Slow(servable, rows_on_loop=1)
    batcher = Batcher(lambda: slow, Counted(), max_rows=3)
    batch = b'{"instances": [%s, %s]}' % (body(1, 2), body(1, 3))
    tasks = []
    for _ in range(20):  # each in a tick of its own
        tasks.append(asyncio.create_task(batcher.infer(MANY, batch)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert batcher._row_threads.used == batcher._row_threads.max_used
    slow.may_go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [each for each in results if isinstance(each, Overloaded)]
    assert len(refused) == 20 - batcher._row_threads.max_used - 3
    assert len({*map(str, results)} - {*map(str, refused)}) == 1


async def test_an_error_of_one_callback_takes_no_result_from_the_others(servable):
    """It is reported, and the tick goes on."""
    batcher, results, reported = Batcher(lambda: servable, Counted()), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def broken(_):
        raise ValueError("broken")

    for callback in (broken, results.append):
        batcher.submit(ONE, body(1, 2), callback)
    await asyncio.sleep(0.01)
    assert json.loads(results[0])["model_version"] == "1"
    assert [str(each["exception"]) for each in reported] == ["broken"]
