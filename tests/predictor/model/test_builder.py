"""A build is bounded: what hangs is ended, and its thread with it."""

import asyncio
import threading

import pytest

from predictor.errors import LoadError
from predictor.model.builder import Builder
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from tests.predictor.graphs import classifier, endless
from tests.predictor.parts import until, version, write_artifact


def threads_of(builder):
    """Those that are alive; other tests have builders of their own."""
    return [thread for thread in builder._thread._threads if thread.is_alive()]


@pytest.fixture
def files(tmp_path):
    """The files of versions: 1 answers, 2 never ends its first row."""
    return {
        "1": write_artifact(tmp_path / "1", classifier()),
        "2": write_artifact(tmp_path / "2", endless()),
    }


@pytest.fixture
def builder_of(files):
    made = []

    def make(seconds, fetch=None):
        async def bring(version):
            return files[version.version]

        made.append(Builder(fetch or bring, load, seconds))
        return made[-1]

    yield make
    for builder in made:
        builder.close()


async def test_a_warm_up_that_hangs_is_ended_and_the_next_version_is_built(builder_of):
    """The bound is named, and the one thread is free again."""
    builder = builder_of(0.3)
    with pytest.raises(LoadError, match="PREDICTOR_LOAD_SECONDS") as caught:
        await builder.build(version(2))
    assert caught.value.stage == "warm_up"
    builder._seconds = 60
    servable, _ = await builder.build(version(1))
    assert servable.model_version == version(1)
    assert len(threads_of(builder)) == 1


async def test_a_fetch_that_hangs_is_ended(builder_of):
    """A store that sends nothing more."""

    async def never(_):
        await asyncio.Event().wait()

    with pytest.raises(LoadError, match=r"not ready after 0\.1 s") as caught:
        await builder_of(0.1, never).build(version(1))
    assert caught.value.stage == "fetch"


async def test_a_build_that_is_given_up_ends_its_thread(builder_of):
    """The next one need not wait for it."""
    builder = builder_of(60)
    task = asyncio.create_task(builder.build(version(2)))
    await until(lambda: threads_of(builder))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await builder.build(version(1)))[0].model_version == version(1)
    builder.close()
    await until(lambda: not threads_of(builder))


async def test_a_servable_is_not_interrupted_after_its_build(builder_of):
    """The options that end a build are not the options that answer requests."""
    servable, fetched = await builder_of(60).build(version(1))
    interrupt = Interrupt()
    again = load(version(1), fetched, interrupt)
    interrupt.throw()
    assert again.answer([(1.0, 0.0)])[0].prediction == servable.answer([(1.0, 0.0)])[0].prediction


def test_an_interrupt_before_registration_runs_the_action():
    """Giving up and starting to work can happen at the same time."""
    heard = []
    interrupt = Interrupt()
    interrupt.on_raise(lambda: heard.append("early"))
    interrupt.throw()
    interrupt.on_raise(lambda: heard.append("late"))
    assert heard == ["early", "late"]


async def test_builds_that_cannot_be_ended_do_not_hold_up_the_next(files, tmp_path):
    """Up to a few; the threads of builds that hang do not pile up."""
    ends = threading.Event()

    async def bring(version):
        return files["1"]

    def never(version, fetched, interrupt):
        ends.wait(60)
        return load(version, fetched, interrupt)

    builder = Builder(bring, never, 0.1, end_seconds=0.05)
    for _ in range(4):
        with pytest.raises(LoadError, match="PREDICTOR_LOAD_SECONDS"):
            await builder.build(version(1))
    with pytest.raises(LoadError, match="4 builds of other versions do not end"):
        await builder.build(version(1))
    ends.set()
    await asyncio.sleep(0.5)
    builder._seconds = 60
    assert (await builder.build(version(1)))[0].model_version == version(1)
    builder.close()
