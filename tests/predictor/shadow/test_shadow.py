"""A worker with a process of the shadow that is played by this one: the connection, the state, the answers in all."""

import asyncio
import contextlib

import msgspec
import pytest

from predictor.events import ShadowChanged, Swapped
from predictor.metrics.counts import Counts
from predictor.operations.model import ShadowComparison
from predictor.settings import Settings
from predictor.shadow.place import listen, socket_path
from predictor.shadow.shadow import Parts, Shadow
from predictor.shadow.tally import Tally
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.parts import servable_of, until
from tests.predictor.shadow.test_sender import Wire, computed
from tests.predictor.shadow.test_server import OTHER, Process

SINCE = 5.0


class World:
    """A worker's shadow, and what it told."""

    def __init__(self, folder, *, starts_process=False):
        self.settings = Settings(
            MLFLOW_TRACKING_URI="http://registry",
            cache_dir=folder / "cache",
            model_uri="models:/m/Production",
            shadow_uri="models:/m/Staging",
        )
        self.serving = None
        self.events = []
        parts = Parts(self.events.append, lambda: self.serving, SINCE)
        tally = Tally(Counts.alone())
        self.shadow = Shadow(self.settings, tally, parts, starts_process=starts_process)

    def serves(self, servable):
        self.serving = servable
        version = servable.model_version
        self.shadow.observe(Swapped(None, version, "promoted", 0.1, servable.artifact.onnx_sha256))

    @property
    def told(self):
        return msgspec.convert(self.shadow.describe(), ShadowComparison)

    @contextlib.asynccontextmanager
    async def process(self, folder):
        """The other side, until the end of the block; then every connection breaks."""
        process = Process(folder)
        listener = listen(socket_path(self.settings, SINCE))
        server = await asyncio.get_running_loop().create_unix_server(
            process.server.connection, sock=listener
        )
        running = asyncio.create_task(process.server.run())
        try:
            yield process
        finally:
            for each in [*process.server._connections]:
                each._transport.abort()
            running.cancel()
            server.close()
            await process.reconciler.close()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_rows_are_compared_and_told(world, tmp_path):
    """From the start, over a process that ends and another one."""
    serving = servable_of(tmp_path / "serving", OURS, number=9)
    assert (world.told.state, world.told.reason) == ("waiting", "its process starts")
    async with world.shadow.running():
        world.serves(serving)
        async with world.process(tmp_path / "one") as process:
            await process.loads(2, OTHER)
            await until(lambda: world.told.state == "comparing")
            assert (world.told.model_version, world.told.run_id) == ("2", "run2")
            assert world.told.compared_with.digest == f"sha256:{serving.artifact.onnx_sha256}"
            world.shadow.watch(serving, computed(serving, GOOD, GOOD))
            await until(lambda: world.told.rows == 2)
            assert world.told.flips[0].rows == 2
            assert world.told.difference.max > 0
            world.serves(servable_of(tmp_path / "third", OURS, number=3))
            assert (world.told.state, world.told.compared_with) == ("waiting", None)
            world.serves(serving)
            await until(lambda: world.told.state == "comparing")
            assert world.told.rows == 2
        await until(lambda: world.told.state == "failed")
        assert "its process ended" in world.told.reason
        assert world.told.compared_with is None
        world.shadow.watch(serving, computed(serving, GOOD))
        async with world.process(tmp_path / "two") as process:
            await process.loads(2, OTHER)
            await until(lambda: world.told.state == "comparing")
            assert (world.told.rows, world.told.skipped_rows) == (2, 1)
    states = [each.state for each in world.events if isinstance(each, ShadowChanged)]
    assert states[0] == "waiting"
    assert states[-1] == "comparing"
    assert states.count("failed") == 1


async def test_a_folder_that_cannot_be_used_is_told(world):
    """Nothing is sent there."""
    folder = world.settings.cache_dir / "shadow"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    async with world.shadow.running():
        await until(lambda: world.told.state == "failed")
    assert "others may write to the folder" in world.told.reason


async def test_a_process_that_cannot_be_started_is_told_and_tried_again(tmp_path, monkeypatch):
    """Such as where the system allows no more processes."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    world = World(tmp_path, starts_process=True)
    async with world.shadow.running():
        await until(lambda: world.told.state == "failed")
        assert world.told.reason.endswith("it could not be started: No such file or directory")
        monkeypatch.undo()
        await until(lambda: world.shadow._process is not None)


async def test_the_model_and_a_webhook_know_the_shadow(tmp_path):
    """`GET /model` has it before its process is there, and each requested poll is passed on."""
    live = Live(tmp_path, shadow_uri="models:/m/Staging", cache_dir=tmp_path / "cache")
    await live.serve(1, OURS)
    body = (await live.client.get("/model")).json()["shadow"]
    assert (body["uri"], body["state"], body["rows"]) == ("models:/m/Staging", "waiting", 0)
    wire = Wire()
    live.service.shadow.watch.connected(wire)
    live.service.poller.poll_now()
    assert [type(each).__name__ for each in wire.messages] == ["Serving", "PollNow"]
    assert live.samples()["predictor_shadow_rows_total", "compared"] == 0
    await live.close()


async def test_events_become_gauges_and_log_lines(tmp_path):
    """A failure is an error in the log, and a gauge that alerts."""
    live = Live(tmp_path)
    assert ("predictor_shadow_failed",) not in live.samples()
    live.metrics.observe(ShadowChanged("comparing", None, "7", "d", "r"))
    samples = live.samples()
    assert samples[("predictor_shadow_model_version",)] == 7
    assert samples[("predictor_shadow_failed",)] == 0
    live.metrics.observe(ShadowChanged("failed", "it hung"))
    samples = live.samples()
    assert samples[("predictor_shadow_model_version",)] == 0
    assert samples[("predictor_shadow_failed",)] == 1
    await live.close()
