"""The process's side of the connection: a real reconciler, a real socket, and a worker by hand."""

import asyncio
import contextlib
import stat

import pytest
import structlog

from predictor.follower import follow
from predictor.settings import Settings
from predictor.shadow.messages import (
    Compared,
    Computation,
    Decoder,
    FromShadow,
    NoServing,
    NotCompared,
    Ping,
    PollNow,
    Pong,
    Rows,
    Serving,
    State,
    encode,
)
from predictor.shadow.place import address, listen
from predictor.shadow.server import ShadowServer
from tests.predictor.graphs import METADATA, OURS, classifier, counting, regressor
from tests.predictor.live import Served
from tests.predictor.parts import servable_of, until, version

OTHER = classifier((-1.0, -2.0), metadata={**METADATA, "recorded_examples": []})
ROW = (1.0, 0.0)
FOREVER = 1e15  # how often `counting` loops


class Process:
    """What the process of the shadow has, without being one."""

    def __init__(self, folder, **settings):
        self.source = Served(folder / "versions")
        self.source.graphs = {}
        self.polls = 0
        observers = []
        asked = Settings(MLFLOW_TRACKING_URI="http://registry", **settings)
        follower = follow(
            asked, lambda event: [each(event) for each in observers], source=self.source
        )
        self.reconciler = follower.reconciler
        self.server = ShadowServer(self.reconciler, self.poll)
        observers.append(self.server.observe)

    def poll(self):
        self.polls += 1

    async def names(self, aspired):
        """The registry names this version, and it has been loaded or refused."""
        self.source.says = aspired
        await self.reconciler.reconcile()
        await self.reconciler.settled()
        await asyncio.sleep(0)

    async def loads(self, number, model):
        self.source.graphs[str(number)] = (model, None)
        await self.names(version(number))


class Worker:
    """A worker that sends messages and takes them one by one."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._decoder = Decoder(FromShadow)
        self._received = []

    def send(self, *messages):
        # In pieces, as a socket may bring them.
        data = b"".join(map(encode, messages))
        self._writer.write(data[:7])
        self._writer.write(data[7:])

    async def until(self, state):
        """The next message that says that the shadow is in this state."""
        while not isinstance(found := await self.next(), State) or found.state != state:
            pass
        return found

    async def next(self):
        while not self._received:
            self._received += self._decoder.feed(await self._reader.read(5))
        return self._received.pop(0)


@pytest.fixture
async def process(tmp_path):
    return Process(tmp_path, inference_seconds=0.2)


@pytest.fixture
async def worker(process, tmp_path):
    path = tmp_path / "shadow" / "a.sock"
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(process.server.connection, sock=listen(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    running = asyncio.create_task(process.server.run())
    with address(path) as where:
        reader, writer = await asyncio.open_unix_connection(where)
    yield Worker(reader, writer)
    writer.close()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    server.close()
    await process.reconciler.close()


@pytest.fixture
def serving(tmp_path):
    return servable_of(tmp_path / "serving", OURS, number=9)


def rows(servable, number=1, *values):
    pack = servable.signature.pack
    answers = servable.answer([pack(*each) for each in values or [ROW]])
    packed = b"".join(pack(*each) for each in values or [ROW])
    return Rows(number, [Computation(packed, list(answers.predictions), answers.scores, 0.001)])


async def test_it_tells_its_state_whenever_that_changes(process, worker, serving):
    """No poll yet, no version, a version, another one that cannot be loaded, the serving one."""
    worker.send(NoServing())
    assert await worker.next() == State("waiting", "the registry has not been polled yet")
    await process.names(None)
    assert await worker.next() == State("waiting", "nothing is in Production")
    await process.loads(2, OTHER)
    state = await worker.next()
    while state.version is None:  # it was being loaded
        state = await worker.next()
    assert (state.state, state.reason) == ("waiting", "no version answers requests")
    assert (state.version, state.run_id) == ("2", "run2")
    worker.send(Serving.of(serving))
    state = await worker.next()
    digest = process.reconciler.serving.artifact.onnx_sha256
    assert (state.state, state.reason, state.digest) == ("comparing", None, digest)
    assert state.serving == ("9", serving.artifact.onnx_sha256)
    process.source.broken["3"] = "no such file"
    await process.names(version(3))
    state = await worker.next()
    assert (state.state, state.version) == ("failed", None)
    assert "m version 3 could not be loaded (fetch): no such file" in state.reason
    await process.loads(2, OTHER)
    await worker.until("comparing")
    worker.send(Serving.of(process.reconciler.serving))
    state = await worker.next()
    assert (state.state, state.reason) == ("waiting", "it is the version that answers requests")


async def test_it_compares_rows_of_the_version_that_served_when_they_were_sent(
    process, worker, serving, tmp_path
):
    """Also if another one has been announced meanwhile."""
    await process.loads(2, OTHER)
    worker.send(Serving.of(serving, answers=True))
    await worker.until("comparing")
    another = servable_of(tmp_path / "another", regressor(), number=10)
    worker.send(rows(serving, 7, ROW, (-1.0, 3.0)), Serving.of(another))
    found = [await worker.next(), await worker.next()]
    (state,) = [each for each in found if isinstance(each, State)]
    assert state.state == "failed"
    (compared,) = [each for each in found if isinstance(each, Compared)]
    assert (compared.number, compared.version, compared.rows) == (7, "2", 2)
    (answered,) = compared.answers
    shadow = process.reconciler.serving
    pack = shadow.signature.pack
    assert answered.predictions == list(shadow.answer([pack(*ROW), pack(-1.0, 3.0)]).predictions)


async def test_rows_that_it_waits_for_no_longer_are_not_compared(process, worker, serving):
    """The registry names none by now."""
    await process.loads(2, OTHER)
    worker.send(Serving.of(serving))
    await worker.until("comparing")
    await process.names(None)
    await worker.until("waiting")
    worker.send(rows(serving, 3))
    assert await worker.next() == NotCompared(3)


async def test_it_says_that_it_lives_and_polls_when_told(process, worker):
    """A registry that has changed is polled at once."""
    worker.send(Ping(), PollNow())
    assert await worker.next() == Pong(0.0)
    await until(lambda: process.polls)


async def test_a_bug_in_a_comparison_is_logged_and_ends_nothing(process, worker, serving):
    """Rows of another length stand for it."""
    await process.loads(2, OTHER)
    worker.send(Serving.of(serving))
    await worker.until("comparing")
    odd = Rows(1, [Computation(b"12345", ["benign"], None, 0.0)])
    with structlog.testing.capture_logs() as lines:
        worker.send(odd)
        assert await worker.next() == NotCompared(1, failed=True)
    assert [line["event"] for line in lines] == ["shadow_internal"]
    worker.send(rows(serving, 2))
    assert (await worker.next()).rows == 1


async def test_a_version_that_takes_too_long_pauses(process, worker, tmp_path):
    """After three computations in a row that were stopped; another version does not."""
    serving = servable_of(tmp_path / "serving", regressor(), number=9)
    await process.loads(2, counting())
    worker.send(Serving.of(serving))
    await worker.until("comparing")
    for number in (1, 2, 3):
        worker.send(rows(serving, number, (FOREVER, 0.0)))
        assert await worker.next() == NotCompared(number, failed=True)
    process.server.tell()
    state = await worker.next()
    assert state.state == "failed"
    assert "3 computations in a row took longer than PREDICTOR_INFERENCE_SECONDS" in state.reason
    await process.loads(4, regressor())
    await worker.until("comparing")
