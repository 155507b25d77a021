"""A worker's side of the connection: it sends what there is room for, counts the rest, and never waits."""

import asyncio
import mmap

import msgspec
import pytest

from predictor.inference.compute import read_and_compute
from predictor.metrics.counts import Counts
from predictor.protocols.predict.records import OneRecord, Records
from predictor.shadow.messages import (
    Answered,
    Compared,
    Decoder,
    NoServing,
    NotCompared,
    Ping,
    PollNow,
    Pong,
    Rows,
    Serving,
    State,
    ToShadow,
)
from predictor.shadow.sender import Sender
from predictor.shadow.tally import Tally, Versions
from tests.predictor.graphs import GOOD, OURS, one_input_per_column, regressor
from tests.predictor.parts import servable_of, until

SHADOW = ("2", "d" * 64)
COLUMNS = {"age": 41, "smoker": True, "dose": 0.5, "code": "A"}


class Wire:
    """A transport that keeps what was written; `full` bytes of it wait for the process."""

    def __init__(self):
        self.full = 0
        self.messages = []
        self._decoder = Decoder(ToShadow)

    def write(self, data):
        self.messages += self._decoder.feed(data)

    def get_write_buffer_size(self):
        return self.full

    @property
    def rows(self):
        return [each for each in self.messages if isinstance(each, Rows)]


class World:
    """A sender with its tally; what it told and kept."""

    def __init__(self, percent=100, *, keeps=False):
        self.counts = Counts(memoryview(mmap.mmap(-1, 1 << 20)))
        self.tally = Tally(self.counts)
        self.states, self.kept = [], []
        keep = (lambda *each: self.kept.append(each)) if keeps else None
        self.sender = Sender(self.tally, percent, changed=self.states.append, keep=keep)
        self.wire = Wire()

    def compares(self, servable):
        """The process is there, has a version, and compares it with this one."""
        self.sender.serves(servable)
        self.sender.connected(self.wire)
        self.sender.received(State("comparing", None, *SHADOW, "run2", of(servable)))

    def count(self, outcome):
        return self.counts.value("predictor_shadow_rows_total", outcome)

    async def sent(self):
        """The messages with rows, once the first is there."""
        await until(lambda: self.wire.rows)
        return self.wire.rows


def of(servable):
    return servable.model_version.version, servable.artifact.onnx_sha256


def computed(servable, *bodies, protocol=None):
    protocol = protocol or OneRecord()
    return read_and_compute(
        servable, [protocol] * len(bodies), [msgspec.json.encode(each) for each in bodies]
    )


def batch(servable, count):
    return computed(servable, {"instances": [GOOD] * count}, protocol=Records())


@pytest.fixture
def servable(tmp_path):
    return servable_of(tmp_path, OURS)


async def test_computations_of_a_moment_are_one_message(servable):
    """With rows, answers and seconds as they were."""
    world = World()
    world.compares(servable)
    assert world.wire.messages == [Serving.of(servable)]
    one, two = computed(servable, GOOD, GOOD), computed(servable, {**GOOD, "mean_radius": 2})
    for each in (one, two):
        world.sender(servable, each)
    (message,) = await world.sent()
    first, second = message.computations
    assert first.rows == b"".join(one.rows)
    assert (first.predictions, first.scores) == (list(one.answers.predictions), one.answers.scores)
    assert first.seconds == one.seconds > 0
    assert len(second.predictions) == 1
    world.sender.received(Compared(message.number, *SHADOW, rows=3))
    assert world.count("compared") == 3
    assert world.tally.describe(world.sender.versions)["rows"] == 3
    assert world.count("skipped") == world.count("failed") == 0


async def test_many_computations_are_sent_at_once(servable):
    """A message is small enough to be written between two requests."""
    world = World()
    world.compares(servable)
    for _ in range(32):
        world.sender(servable, computed(servable, GOOD))
    assert [len(each.computations) for each in world.wire.rows] == [32]


async def test_rows_are_skipped_while_the_process_is_not_there(servable):
    """And counted for the pair that was compared last."""
    world = World()
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 1
    world.compares(servable)
    versions = world.sender.versions
    world.sender.disconnected()
    world.sender(servable, computed(servable, GOOD, GOOD))
    assert world.count("skipped") == 3
    assert world.sender.versions is None
    assert world.tally.describe(versions)["skipped_rows"] == 2


async def test_rows_are_skipped_while_the_socket_is_full(servable):
    """The worker does not wait for it."""
    world = World()
    world.compares(servable)
    world.wire.full = 1
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 1
    assert world.wire.rows == []


async def test_rows_are_skipped_while_too_many_are_not_compared(servable):
    """By their number, and by the number of messages; answers make room."""
    world = World()
    world.compares(servable)
    for _ in range(8):
        world.sender(servable, batch(servable, 512))
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 1
    messages = world.wire.rows
    assert [len(each.computations[0].predictions) for each in messages] == [512] * 8
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 2
    for each in messages:
        world.sender.received(NotCompared(each.number, failed=True))
    assert world.count("failed") == 4096
    for _ in range(64 * 32):
        world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 2
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 3


async def test_of_a_large_request_the_first_rows_are_sent(servable):
    """Up to 512; the others are skipped."""
    world = World()
    world.compares(servable)
    world.sender(servable, batch(servable, 10_000))
    (message,) = await world.sent()
    (sent,) = message.computations
    assert len(sent.predictions) == len(sent.scores) == 512
    assert len(sent.rows) == 512 * 2 * 4
    assert world.count("skipped") == 10_000 - 512


async def test_nothing_is_sent_or_counted_while_the_shadow_waits(servable):
    """There is no pair of versions then."""
    world = World()
    world.sender.serves(servable)
    world.sender.connected(world.wire)
    world.sender.received(State("waiting", "no version"))
    world.sender(servable, computed(servable, GOOD))
    await asyncio.sleep(0.01)
    assert world.wire.rows == []
    assert world.count("skipped") == 0
    assert [each.state for each in world.states] == ["waiting"]


async def test_a_swap_ends_the_comparison_until_the_process_answers(servable, tmp_path):
    """Rows of the version before are skipped, an answer about it does not count, what was sent is answered."""
    world = World()
    world.compares(servable)
    world.sender(servable, computed(servable, GOOD))
    another = servable_of(tmp_path / "another", OURS, number=3)
    world.sender.serves(another)
    (message,) = world.wire.rows
    assert world.wire.messages[-1] == Serving.of(another)
    world.sender.received(State("comparing", None, *SHADOW, "run2", of(servable)))
    assert world.sender.versions is None
    world.sender.received(State("comparing", None, *SHADOW, "run2", of(another)))
    assert world.sender.versions == Versions(of(another), SHADOW)
    world.sender.received(Compared(message.number, *SHADOW, rows=1))
    assert world.tally.describe(Versions(of(servable), SHADOW))["rows"] == 1
    assert world.tally.describe(world.sender.versions)["rows"] == 0
    world.sender(servable, computed(servable, GOOD))
    assert world.count("skipped") == 1
    world.sender.serves(None)
    assert world.wire.messages[-1] == NoServing()


async def test_what_is_not_answered_has_failed(servable):
    """The process was killed, or hung."""
    world = World()
    world.compares(servable)
    world.sender(servable, computed(servable, GOOD, GOOD))
    await world.sent()
    world.sender.disconnected()
    assert world.count("failed") == 2


async def test_a_share_is_sent(servable):
    """The others are not counted as skipped."""
    world = World(percent=25)
    world.compares(servable)
    for _ in range(400):
        world.sender(servable, computed(servable, GOOD))
    world.sender.serves(None)
    sent = sum(len(each.computations) for each in world.wire.rows)
    assert 40 < sent < 180
    assert world.count("skipped") == 0


async def test_rows_without_an_answer_are_left_out_and_answers_are_kept_by_row(tmp_path):
    """The record gets the shadow's answers at the places of their rows."""
    servable = servable_of(tmp_path, regressor(op="Log"))
    world = World(keeps=True)
    world.compares(servable)
    record = {"feature_0": 1, "feature_1": 0}
    found = computed(servable, record, {**record, "feature_0": -1}, {**record, "feature_0": 3})
    found.record = "its place"
    world.sender(servable, found)
    (message,) = await world.sent()
    assert len(message.computations[0].predictions) == 2
    answers = [Answered([0.5, 1.5], [None, None])]
    world.sender.received(Compared(message.number, *SHADOW, rows=2, answers=answers))
    assert world.kept == [(*SHADOW, [("its place", [0.5, None, 1.5], [None, None, None])])]
    assert world.count("skipped") == 0


async def test_rows_that_are_values(tmp_path):
    """Of a graph with an input for each column."""
    servable = servable_of(tmp_path, one_input_per_column())
    world = World()
    world.compares(servable)
    world.sender(servable, computed(servable, COLUMNS))
    (message,) = await world.sent()
    assert message.computations[0].rows == [[41, True, 0.5, "A"]]


async def test_it_asks_whether_the_process_lives(servable):
    """Once until it answers; a computation that goes on counts as silence, too."""
    world = World()
    world.sender.ping()
    assert world.sender.silent_seconds == 0
    world.compares(servable)
    world.sender.ping()
    world.sender.ping()
    assert world.wire.messages.count(Ping()) == 1
    await asyncio.sleep(0.02)
    assert world.sender.silent_seconds >= 0.02
    world.sender.received(Pong(0.0))
    assert world.sender.silent_seconds == 0
    world.sender.received(Pong(9.5))
    assert world.sender.silent_seconds == 9.5
    world.sender.poll_now()
    assert world.wire.messages[-1] == PollNow()
