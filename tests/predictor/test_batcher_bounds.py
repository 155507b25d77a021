"""What waits is bounded, and what would hold up the loop is computed beside it."""

import asyncio
import json
import threading

import pytest

from predictor.batcher import Batcher
from predictor.errors import InvalidRecord, MalformedBody, Overloaded
from tests.predictor.graphs import regressor
from tests.predictor.parts import Counted, servable_of


def body(*values):
    return json.dumps(dict(zip(("feature_0", "feature_1"), values, strict=True))).encode()


@pytest.fixture
def servable(tmp_path):
    return servable_of(tmp_path, regressor())


async def test_records_beyond_the_bound_are_refused(servable):
    """Those within it are answered, and in the next tick there is room again."""
    batcher = Batcher(lambda: servable, Counted(), most_rows=3)
    for _ in range(2):
        asked = await asyncio.gather(
            *(batcher.predict(body(1, 2)) for _ in range(5)), return_exceptions=True
        )
        assert [isinstance(each, Overloaded) for each in asked] == [False] * 3 + [True] * 2
    assert "3 records" in str(asked[-1])


class Slow:
    """A servable whose answers wait."""

    def __init__(self, servable):
        self.decoder = servable.decoder
        self.may_go_on = threading.Event()
        self.signature = servable.signature
        self._answer = servable.answer

    def answer(self, rows):
        assert self.may_go_on.wait(60)
        return self._answer(rows)


async def test_batches_beyond_the_bound_are_refused(servable):
    """At once, while those within it wait; afterwards there is room again."""
    slow = Slow(servable)
    batcher = Batcher(lambda: slow, Counted(), most_batches=2)
    batch = b'{"instances": [%s]}' % body(1, 2)
    within = [asyncio.create_task(batcher.predict_batch(batch)) for _ in range(2)]
    await asyncio.sleep(0)
    for refused in (batcher.predict_batch(batch), batcher.predict(body(1, 2) + b" " * 20_000)):
        with pytest.raises(Overloaded, match="2 batches"):
            await refused
    slow.may_go_on.set()
    assert all(len(answers) == 1 for _, answers in await asyncio.gather(*within))
    assert len((await batcher.predict_batch(batch))[1]) == 1


async def test_a_bad_batch_leaves_its_place(servable):
    """Whatever is wrong with it."""
    batcher = Batcher(lambda: servable, Counted(), most_batches=1)
    for _ in range(3):
        with pytest.raises(MalformedBody):
            await batcher.predict_batch(b"{")
    assert (await batcher.predict_batch(b'{"instances": [%s]}' % body(1, 2)))[0] is servable


async def test_a_large_record_is_answered_as_a_small_one_is(servable):
    """Also with its faults."""
    batcher = Batcher(lambda: servable, Counted())
    blanks = b" " * 20_000
    assert await batcher.predict(body(1, 2) + blanks) == await batcher.predict(body(1, 2))
    with pytest.raises(MalformedBody):
        await batcher.predict(blanks)
    with pytest.raises(InvalidRecord) as caught:
        await batcher.predict(b'{"feature_0": 1}' + blanks)
    assert [error.field for error in caught.value.errors] == ["feature_1"]
