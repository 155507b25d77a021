"""A slow load blocks neither requests, polls nor shutdown; builds run one after the other."""

import asyncio
import gc
import threading
import weakref
from dataclasses import replace

import pytest

from predictor import events
from predictor.inference.batcher import LARGE
from predictor.model.builder import Builder
from predictor.model.loader import load
from predictor.reconcile.reconciler import Reconciler
from tests.predictor.graphs import regressor
from tests.predictor.live import Live
from tests.predictor.parts import FakeSource, RecordedEvents, version

A, B = version(1), version(2)
RECORD = b'{"feature_0": 1.5, "feature_1": 2}'
RECORDS = b'{"instances": [{"feature_0": 1.5, "feature_1": 2}, {"feature_0": 3, "feature_1": 4}]}'


class SlowBuilds:
    """A loader whose builds of some versions last until the test releases them."""

    def __init__(self, *slow):
        self.slow = slow
        self.let_go = threading.Event()
        self.started = []
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, version, *files, **options):
        with self._lock:
            self.started.append(version.number)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if version.number in self.slow:
                self.let_go.wait()
            return load(version, *files, **options)
        finally:
            with self._lock:
                self.inside -= 1

    async def begun(self, number):
        """Return once this version is being built; the test's own timeout is the limit."""
        while number not in self.started:  # noqa: ASYNC110  a thread says so, not the loop
            await asyncio.sleep(0.001)


@pytest.fixture
def builds():
    """Slow for version 2."""
    made = SlowBuilds(2)
    yield made
    made.let_go.set()


def _reconciler(source, load):
    return Reconciler(source, Builder(source.fetch, load, 300), RecordedEvents())


@pytest.fixture
async def reconciler(tmp_path, builds):
    made = _reconciler(FakeSource(tmp_path), builds)
    yield made
    builds.let_go.set()
    await made.close()


async def registry_names(reconciler, says):
    reconciler._source.says = says
    await reconciler.reconcile()


async def test_builds_stand_in_a_queue_of_one(reconciler, builds):
    """However often the registry changes, one build runs and only the last one waits."""
    await registry_names(reconciler, B)
    await builds.begun(2)
    for number in (3, 4, 5, 6, 7):
        await registry_names(reconciler, version(number))
        await asyncio.sleep(0.01)
    assert builds.started == [2]
    builds.let_go.set()
    await reconciler.settled()
    assert builds.started == [2, 7]
    assert builds.most == 1
    assert reconciler.serving.model_version.number == 7


async def test_there_and_back_many_times_builds_nothing_beside(reconciler, builds):
    """A to B to A, again and again while the first build of B goes on."""
    await registry_names(reconciler, A)
    await reconciler.settled()
    for _ in range(20):
        await registry_names(reconciler, B)
        await registry_names(reconciler, A)
    builds.let_go.set()
    await reconciler.settled()
    assert builds.most == 1
    assert reconciler.serving.model_version == A
    swapped = reconciler._observe.of(events.Swapped)
    assert [event.serving for event in swapped] == [A]


async def test_polls_go_on_during_a_slow_build(reconciler, builds):
    """Each poll ends, and starts no second build."""
    await registry_names(reconciler, B)
    await builds.begun(2)
    for _ in range(3):
        await registry_names(reconciler, B)
    assert len(reconciler._observe.of(events.RegistryAnswered)) == 4
    assert reconciler.loading == B
    assert builds.started == [2]


async def test_closing_does_not_wait_for_a_slow_build(reconciler, builds):
    """The abandoned build does not swap afterwards."""
    await registry_names(reconciler, A)
    await reconciler.settled()
    await registry_names(reconciler, B)
    await builds.begun(2)
    await reconciler.close()
    await reconciler.settled()
    builds.let_go.set()
    while builds.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert reconciler.serving.model_version == A


async def everything_answers_from(live, number):
    single = await live.client.post("/predict", content=RECORD, headers=JSON)
    several = await live.client.post("/predict/batch", content=RECORDS, headers=JSON)
    paths = ("/health", "/ready", "/model", "/metrics", "/openapi.json")
    others = [await live.client.get(path) for path in paths]
    assert [each.status_code for each in (single, several, *others)] == [200] * 7
    assert {single.json()["model_version"], several.json()["model_version"]} == {str(number)}


JSON = {"Content-Type": "application/json"}


async def test_every_endpoint_answers_during_a_slow_build(tmp_path, builds):
    """From the version that serves."""
    live = Live(tmp_path, load=builds)
    await live.serve(1, regressor())
    live.source.graphs["2"] = (regressor(op="Log"), None)
    live.source.says = B
    await live.reconciler.reconcile()
    await builds.begun(2)
    await everything_answers_from(live, 1)
    builds.let_go.set()
    await live.reconciler.settled()
    await everything_answers_from(live, 2)


async def test_every_endpoint_answers_during_a_slow_fetch(tmp_path):
    """Also while a slow registry delivers the files."""
    live = Live(tmp_path)
    await live.serve(1, regressor())
    live.source.held["2"] = asyncio.Event()
    live.source.graphs["2"] = (regressor(op="Log"), None)
    live.source.says = B
    await live.reconciler.reconcile()
    await everything_answers_from(live, 1)
    live.source.held["2"].set()
    await live.reconciler.settled()
    await everything_answers_from(live, 2)


class SlowRuns:
    """An ONNX Runtime session whose runs can be held until the test releases them."""

    def __init__(self, session):
        self._run = session.run
        self.let_go = threading.Event()
        self.let_go.set()
        self.waits = threading.Event()

    def run(self, *arguments):
        self.waits.set()
        self.let_go.wait()
        return self._run(*arguments)


async def test_an_old_servable_lives_until_its_last_answer_and_no_longer(tmp_path):
    """A batch that started on it is computed by it, also after the swap; then it is freed."""
    sessions = {}

    def slow_runs(version, *files, **options):
        servable = load(version, *files, **options)
        sessions[version.number] = SlowRuns(servable.session)
        return replace(servable, session=sessions[version.number])

    live = Live(tmp_path, load=slow_runs)
    await live.serve(1, regressor())
    await everything_answers_from(live, 1)
    old = weakref.ref(live.reconciler.serving)
    held = sessions.pop(1)
    held.let_go.clear()
    held.waits.clear()
    large = RECORDS + b" " * LARGE * 6  # computed in a thread
    late = asyncio.create_task(
        live.client.post("/predict/batch", content=large, headers=JSON), name="late"
    )
    await asyncio.to_thread(held.waits.wait)
    await live.serve(2, regressor(op="Log"))
    await everything_answers_from(live, 2)
    gc.collect()
    assert old() is not None

    held.let_go.set()
    answered = await late
    assert answered.json()["model_version"] == "1"
    assert [row["prediction"] for row in answered.json()["predictions"]] == [3.5, 7.0]
    del held, late, answered
    # The thread that computed may be on its way out.
    async with asyncio.timeout(30):
        while old() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


async def test_a_disk_that_hangs_blocks_no_poll(tmp_path):
    """A hanging write to the cache does not delay the registry's response."""
    source = FakeSource(tmp_path)
    reconciler = _reconciler(source, load)
    source.slow_writes += [asyncio.Event(), asyncio.Event()]
    source.says = A
    await reconciler.reconcile()
    while reconciler.serving is None:  # noqa: ASYNC110  settled() waits for the write as well
        await asyncio.sleep(0.001)
    source.says = None
    async with asyncio.timeout(30):
        await reconciler.reconcile()
    assert reconciler.serving is None
    for write in list(source.slow_writes):
        write.set()


async def test_a_disk_that_hangs_at_the_start_blocks_no_poll(tmp_path):
    """The registry is down, the cache cannot be read, and then the registry is back."""

    class HungDisk(FakeSource):
        async def last_verified(self):
            await asyncio.Event().wait()

    source = HungDisk(tmp_path)
    reconciler = _reconciler(source, load)
    source.down = True
    async with asyncio.timeout(30):
        await reconciler.reconcile()
        source.down, source.says = False, A
        await reconciler.reconcile()
        while reconciler.serving is None:  # noqa: ASYNC110  settled() waits for the read as well
            await asyncio.sleep(0.001)
    assert reconciler.serving.model_version == A
    # Nor does it put off the end.
    await reconciler.close()
    async with asyncio.timeout(30):
        await reconciler.settled()
    assert source.closed
