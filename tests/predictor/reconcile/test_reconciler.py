"""The effects of the registry's responses (docs/faults.md), with a source that the test controls."""

import asyncio
import gc
import time
import weakref
from dataclasses import replace

import pytest

from predictor import events
from predictor.errors import (
    LoadError,
    NothingServing,
    RegistryInvalidResponse,
    RegistryRefused,
    RegistryUnreachable,
)
from predictor.model.builder import Builder
from predictor.model.loader import load
from predictor.reconcile.reconciler import Reconciler
from predictor.reconcile.source import NO_APPROVALS
from tests.predictor.parts import FakeSource, RecordedEvents, until, version, write_artifact

A, B, C = version(1), version(2), version(3)


class World:
    """A reconciler, its source, and its events."""

    def __init__(self, folder, loader=load, **options):
        self.source = FakeSource(folder)
        self.recorded = RecordedEvents()
        self.options = {"retry_seconds": 1000, **options}
        self.loader = loader
        self.restart()

    def restart(self):
        """A new process with the same disk and registry."""
        approvals = self.options.get("approvals", NO_APPROVALS)
        builder = Builder(self.source.fetch, self.loader, 300, refusal=approvals.refusal)
        self.reconciler = Reconciler(self.source, builder, self.recorded, **self.options)

    async def registry_names(self, says, *, settle=True):
        self.source.down, self.source.says = False, says
        await self.reconciler.reconcile()
        if settle:
            await self.reconciler.settled()

    async def unreachable(self):
        self.source.down = True
        await self.reconciler.reconcile()
        await self.reconciler.settled()

    @property
    def serving(self):
        servable = self.reconciler.serving
        return int(servable.model_version.version) if servable else None

    @property
    def swaps(self):
        return [
            (e.serving.number if e.serving else None, e.reason)
            for e in self.recorded.of(events.Swapped)
        ]


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    await made.reconciler.close()


async def test_the_first_version_is_loaded(world):
    """The version is named, fetched, built, swapped in and saved."""
    await world.registry_names(A)
    assert world.serving == 1
    assert [type(e) for e in world.recorded.events] == [
        events.RegistryAnswered, events.LoadStarted, events.Swapped,
    ]  # fmt: skip
    assert world.source.verified[0] == A


async def test_another_version_is_swapped_in(world):
    """A promotion, and a rollback to a lower number."""
    await world.registry_names(A)
    await world.registry_names(B)
    await world.registry_names(A)
    assert world.swaps == [(1, "promoted"), (2, "promoted"), (1, "rolled_back")]
    assert world.source.verified[0] == A


async def test_the_same_version_is_left_alone(world):
    """A poll without a change loads nothing and reports nothing."""
    for _ in range(3):
        await world.registry_names(A)
    assert world.source.fetched == ["1"]
    assert [e.changed for e in world.recorded.of(events.RegistryAnswered)] == [True, False, False]


async def test_a_reused_number_is_loaded_again(world):
    """A version 1 that was deleted and created again is another model."""
    await world.registry_names(A)
    await world.registry_names(version(1, created=99))
    assert world.source.fetched == ["1", "1"]


async def test_no_version_stops_serving(world):
    """Only an authorised model may serve; the error has the reason."""
    await world.registry_names(A)
    await world.registry_names(None)
    assert world.serving is None
    assert world.swaps[-1] == (None, "withdrawn")
    with pytest.raises(NothingServing, match="promote one"):
        world.reconciler.require_serving()


async def test_no_version_keeps_serving_where_that_was_chosen(tmp_path):
    """The setting `keep` chooses the other way."""
    world = World(tmp_path, when_none="keep")
    await world.registry_names(A)
    await world.registry_names(None)
    assert world.serving == 1
    await world.registry_names(B)
    assert world.serving == 2


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RegistryUnreachable("u", "refused"), "unreachable"),
        (RegistryRefused("u", 401), "refused"),
        (RegistryInvalidResponse("u", "html"), "invalid_response"),
    ],
)
async def test_a_registry_that_fails_changes_nothing(tmp_path, error, outcome):
    """The serving version stays, however the registry fails; the age of the last response is visible."""

    class Failing(FakeSource):
        async def aspired(self):
            if self.down:
                raise error
            return await super().aspired()

    world = World(tmp_path)
    world.source = Failing(tmp_path)
    world.restart()
    await world.registry_names(A)
    answered_at = world.reconciler.registry_status.answered_at
    await world.unreachable()
    await world.unreachable()
    assert world.serving == 1
    failures = world.recorded.of(events.RegistryFailed)
    assert [(f.outcome, f.first, f.serving) for f in failures] == [
        (outcome, True, A), (outcome, False, A),
    ]  # fmt: skip
    assert world.reconciler.registry_status.answered_at == answered_at
    assert world.reconciler.registry_status.fault == str(error)
    await world.registry_names(A)
    assert world.reconciler.registry_status.fault is None
    assert world.recorded.of(events.RegistryAnswered)[-1].changed


async def test_a_version_that_cannot_be_loaded_changes_nothing(world):
    """A keeps serving; B's failure is reported with its stage."""
    await world.registry_names(A)
    world.source.broken["2"] = "no such file"
    await world.registry_names(B)
    assert world.serving == 1
    failure = world.recorded.of(events.LoadFailed)[0]
    assert (failure.version, failure.stage, failure.serving) == (B, "fetch", A)
    assert world.reconciler.failure.reason == "no such file"
    assert world.source.verified[0] == A


async def test_a_failed_version_is_not_tried_at_every_poll(world):
    """It waits for its delay."""
    world.source.broken["2"] = "no such file"
    for _ in range(5):
        await world.registry_names(B)
    assert world.source.fetched == ["2"]


async def test_a_failed_version_is_tried_again_with_a_growing_delay(tmp_path):
    """It serves when it can be loaded."""
    world = World(tmp_path, retry_seconds=0)
    world.source.broken["2"] = "no such file"
    for _ in range(3):
        await world.registry_names(B)
    assert [f.attempts for f in world.recorded.of(events.LoadFailed)] == [1, 2, 3]
    world.source.broken.clear()
    await world.registry_names(B)
    assert world.serving == 2
    assert world.reconciler.failure is None

    delays = World(tmp_path, retry_seconds=7)
    for updated in range(4):
        delays.source.broken["2"] = "no such file"
        await delays.registry_names(version(2, updated=updated))
    assert [f.retry_seconds for f in delays.recorded.of(events.LoadFailed)] == [7, 14, 28, 56]


async def test_a_failed_version_is_tried_at_once_when_the_registry_changes(world):
    """An edited tag is enough."""
    world.source.broken["2"] = "no such file"
    await world.registry_names(B)
    world.source.broken.clear()
    await world.registry_names(version(2, updated=1))
    assert world.serving == 2


async def test_a_failed_version_is_tried_at_once_when_its_files_are_replaced(world):
    """Unchanged files wait for the delay."""
    world.source.broken["2"] = "no such file"
    world.source.listings["2"] = "MLmodel 100"
    await world.registry_names(B)
    await world.registry_names(B)
    await world.registry_names(B)
    assert world.source.fetched == ["2"]
    world.source.listings["2"] = "MLmodel 100, model.onnx 5000"
    world.source.broken.clear()
    await world.registry_names(B)
    assert world.serving == 2


async def test_a_failure_is_forgotten_when_another_version_is_named(world):
    """Only a failure of the desired version is shown."""
    world.source.broken["2"] = "no such file"
    await world.registry_names(B)
    await world.registry_names(A)
    assert world.reconciler.failure is None
    await world.registry_names(B)
    assert world.reconciler.failure.attempts == 1


async def test_a_bug_does_not_end_the_polls(tmp_path):
    """A bug in loading is a failed load like any other."""

    def buggy(version, fetched, interrupt):
        raise ZeroDivisionError("oops")

    world = World(tmp_path, buggy)
    await world.registry_names(A)
    assert world.reconciler.failure.stage == "internal"
    assert "ZeroDivisionError: oops" in world.reconciler.failure.reason


async def test_a_to_b_to_a_ends_at_a(world):
    """B, whose load was cancelled, never serves."""
    world.source.held["2"] = asyncio.Event()
    await world.registry_names(A)
    await world.registry_names(B, settle=False)
    assert world.reconciler.loading == B
    await world.registry_names(A)
    world.source.held["2"].set()
    await asyncio.sleep(0)
    assert world.swaps == [(1, "promoted")]
    assert [e.version for e in world.recorded.of(events.LoadSuperseded)] == [B]


async def test_a_newer_promotion_supersedes_a_load(world):
    """The last response counts, even if the first load would have been faster."""
    world.source.held["2"] = asyncio.Event()
    await world.registry_names(A)
    await world.registry_names(B, settle=False)
    await world.registry_names(C)
    world.source.held["2"].set()
    await asyncio.sleep(0)
    assert world.swaps == [(1, "promoted"), (3, "promoted")]
    assert world.source.verified[0] == C


async def test_a_running_load_is_not_started_again(world):
    """Polls are shorter than loads."""
    world.source.held["1"] = asyncio.Event()
    for _ in range(3):
        await world.registry_names(A, settle=False)
        await asyncio.sleep(0)
    world.source.held["1"].set()
    await world.reconciler.settled()
    assert world.source.fetched == ["1"]
    assert world.serving == 1


async def test_a_version_demoted_while_it_loads_never_serves(world):
    """No version is desired while B loads: A stops, and B's load is cancelled."""
    world.source.held["2"] = asyncio.Event()
    await world.registry_names(A)
    await world.registry_names(B, settle=False)
    await world.registry_names(None)
    world.source.held["2"].set()
    await asyncio.sleep(0)
    assert world.serving is None
    assert world.swaps == [(1, "promoted"), (None, "withdrawn")]
    assert world.source.verified is None


async def test_a_build_that_was_given_up_does_not_swap(tmp_path):
    """Also where the thread that builds it cannot be stopped."""
    started, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow_for_two(version, fetched, interrupt):
        if version == B:
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return load(version, fetched, interrupt)

    world = World(tmp_path, slow_for_two)
    await world.registry_names(A)
    await world.registry_names(B, settle=False)
    await started.wait()
    await world.registry_names(A)
    go_on.set()
    await world.registry_names(C)
    assert world.swaps == [(1, "promoted"), (3, "promoted")]


async def test_the_registry_failing_during_a_load_does_not_end_it(world):
    """Its last response counts."""
    world.source.held["1"] = asyncio.Event()
    await world.registry_names(A, settle=False)
    world.source.down = True
    await world.reconciler.reconcile()
    world.source.held["1"].set()
    await world.reconciler.settled()
    assert world.serving == 1


class TestStartWithoutTheRegistry:
    async def test_the_last_verified_version_serves(self, world):
        """The event has the reason."""
        await world.registry_names(A)
        world.restart()
        await world.unreachable()
        assert world.serving == 1
        assert world.swaps[-1] == (1, "restored")
        assert world.reconciler.registry_status.fault is not None

    async def test_nothing_was_verified(self, world):
        """503 with the reason, without the registry's address; `/model` has the details."""
        await world.unreachable()
        with pytest.raises(NothingServing, match="has not said which version may serve"):
            world.reconciler.require_serving()

    async def test_it_is_restored_once(self, world):
        """Not at every failed poll."""
        await world.registry_names(A)
        world.restart()
        await world.unreachable()
        await world.unreachable()
        assert world.swaps.count((1, "restored")) == 1

    @pytest.mark.parametrize("says", [A, B, None])
    async def test_the_registrys_next_response_counts(self, world, says):
        """The same version stays without a load, another is swapped in, none stops it."""
        await world.registry_names(A)
        world.restart()
        await world.unreachable()
        await world.registry_names(says)
        assert world.serving == (says.number if says else None)
        assert world.source.fetched == (["1", "2"] if says == B else ["1"])

    async def test_a_demoted_version_does_not_come_back(self, world):
        """Withdrawn, restarted, registry down: no version is authorised."""
        await world.registry_names(A)
        await world.registry_names(None)
        world.restart()
        await world.unreachable()
        assert world.serving is None

    async def test_a_version_demoted_after_a_restart_does_not_come_back(self, world):
        """The second process saw the demotion; the third one must not serve the version."""
        await world.registry_names(A)
        world.restart()
        await world.registry_names(None)
        world.restart()
        await world.unreachable()
        assert world.serving is None

    async def test_a_kept_version_comes_back(self, tmp_path):
        """With `keep`, the serving version is the saved one."""
        world = World(tmp_path, when_none="keep")
        await world.registry_names(A)
        await world.registry_names(None)
        world.restart()
        await world.unreachable()
        assert world.serving == 1

    async def test_the_registry_names_one_that_cannot_be_loaded(self, world):
        """A replica that starts during a bad promotion serves what the others still serve."""
        await world.registry_names(A)
        world.restart()
        world.source.broken["2"] = "the store is away"
        await world.registry_names(B)
        await until(lambda: world.serving == 1)
        assert world.swaps[-1] == (1, "restored")
        assert world.reconciler.failure.version == B
        world.source.broken.clear()
        await world.registry_names(replace(B, updated_ms=1))
        assert world.serving == 2

    async def test_the_registry_names_none_and_keep_was_chosen(self, tmp_path):
        """A replica that starts then serves what the others keep."""
        world = World(tmp_path, when_none="keep")
        await world.registry_names(A)
        world.restart()
        await world.registry_names(None)
        assert world.serving == 1

    @pytest.mark.parametrize("says", [C, None])
    async def test_the_registry_speaks_while_memory_is_read(self, world, says):
        """B failed and A is being restored: a response meanwhile counts, and A never serves."""
        await world.registry_names(A)
        world.restart()
        world.source.broken["2"] = "the store is away"
        read = asyncio.Event()
        world.source.slow_reads = [read]
        await world.registry_names(B, settle=False)
        await until(lambda: not world.source.slow_reads)
        await world.registry_names(says, settle=False)
        read.set()
        await world.reconciler.settled()
        await asyncio.sleep(0.01)
        await world.reconciler.settled()
        assert world.serving == (says.number if says else None)
        assert (1, "restored") not in world.swaps

    async def test_a_version_that_no_longer_loads(self, tmp_path):
        """It is a failed load, tried again at once when the registry is back."""
        world = World(tmp_path)
        broken = write_artifact(tmp_path / "broken", b"garbage")
        world.source.verified = (A, broken)
        await world.unreachable()
        assert world.reconciler.failure.stage == "session"
        await world.registry_names(version(1, updated=1))
        assert world.serving == 1

    async def test_a_registry_that_spoke_is_not_replaced_by_memory(self, world):
        """After a response without a version, an outage does not bring an old version back."""
        await world.registry_names(None)
        world.source.verified = (A, world.source.files(A))
        await world.unreachable()
        assert world.serving is None

    async def test_the_registry_comes_back_during_the_restore(self, tmp_path):
        """With another version: only that one serves."""
        go_on, started = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow_for_one(version, fetched, interrupt):
            if version == A:
                loop.call_soon_threadsafe(started.set)
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return load(version, fetched, interrupt)

        world = World(tmp_path, slow_for_one)
        world.source.verified = (A, world.source.files(A))
        world.source.down = True
        await world.reconciler.reconcile()
        await started.wait()
        await world.registry_names(B, settle=False)
        go_on.set()
        await world.reconciler.settled()
        assert world.swaps == [(2, "promoted")]


class HeldLoader:
    """Loads a version only when the test lets it; ends at once if it is interrupted."""

    def __init__(self, held):
        self.held = held
        self.begun = 0
        self.go_on = False

    def __call__(self, version, fetched, interrupt):
        if version == self.held:
            self.begun += 1
            end = time.monotonic() + 10  # so that a test that fails ends
            while not self.go_on and time.monotonic() < end:
                time.sleep(0.001)
        return load(version, fetched, interrupt)


@pytest.mark.whole  # each waits for seconds until its thread ends
class TestSlowRestore:
    """Nothing serves, and the last known good version takes long to load."""

    async def restoring(self, tmp_path, says, **options):
        """A world that has just begun to restore A, while the registry names `says`: B fails."""
        loader = HeldLoader(A)
        world = World(tmp_path, loader, **options)
        world.source.verified = (A, world.source.files(A))
        world.source.broken["2"] = "the store is away"
        world.source.down = says == "nothing"
        world.source.says = says
        await world.reconciler.reconcile()
        await until(lambda: loader.begun)
        return world

    async def test_retries_do_not_cancel_it(self, tmp_path):
        """The failed version is tried again once something serves."""
        world = await self.restoring(tmp_path, B, retry_seconds=0)
        for _ in range(20):
            await world.registry_names(B, settle=False)
            await asyncio.sleep(0.001)
        assert (world.loader.begun, world.source.fetched) == (1, ["2"])
        world.loader.go_on = True
        await world.reconciler.settled()
        assert world.swaps == [(1, "restored")]
        world.source.broken.clear()
        await world.registry_names(B)
        assert world.serving == 2
        await world.reconciler.close()

    async def test_a_setting_to_keep_keeps_it(self, tmp_path):
        """However often the registry says that no version is promoted."""
        world = await self.restoring(tmp_path, None, when_none="keep")
        for _ in range(20):
            await world.registry_names(None, settle=False)
        world.loader.go_on = True
        await world.reconciler.settled()
        assert (world.loader.begun, world.serving) == (1, 1)
        await world.reconciler.close()

    @pytest.mark.parametrize(
        ("before", "then"),
        [("nothing", B), (B, replace(B, updated_ms=1)), (B, C)],
        ids=["the registry is back", "the failed version is edited", "another is promoted"],
    )
    async def test_it_begins_again_after_a_version_that_fails_too(self, tmp_path, before, then):
        """A version that may be good is tried first."""
        world = await self.restoring(tmp_path, before)
        world.source.broken["3"] = "the store is away"
        await world.registry_names(then, settle=False)
        await until(lambda: world.loader.begun == 2)
        world.loader.go_on = True
        await world.reconciler.settled()
        assert world.swaps == [(1, "restored")]
        await world.reconciler.close()

    async def test_it_goes_on_while_another_version_waits_for_approvals(self, tmp_path):
        """And that version is loaded as soon as it has them."""
        approvals = FakeApprovals()
        world = await self.restoring(tmp_path, "nothing", approvals=approvals)
        world.source.broken.clear()
        approvals.refused[B] = "0 of 2"
        for _ in range(20):
            await world.registry_names(B, settle=False)
        assert (world.loader.begun, world.reconciler.loading) == (1, A)
        approvals.refused.clear()
        await world.registry_names(B)
        assert world.swaps == [(2, "promoted")]
        await world.reconciler.close()

    @pytest.mark.parametrize("disk_full", [False, True])
    async def test_a_demotion_ends_it(self, tmp_path, disk_full):
        """Also if the cache cannot be written, and the next version cannot be loaded."""
        world = await self.restoring(tmp_path, "nothing")
        world.source.disk_full = disk_full
        await world.registry_names(None)
        world.loader.go_on = True
        await world.registry_names(B)
        await world.registry_names(replace(B, updated_ms=1))
        assert (world.serving, world.swaps) == (None, [])
        await world.reconciler.close()


async def test_a_demoted_version_is_not_restored_from_a_full_disk(world):
    """It could not be forgotten; then the next version cannot be loaded."""
    await world.registry_names(A)
    world.source.disk_full = True
    await world.registry_names(None)
    world.source.broken["2"] = "the store is away"
    await world.registry_names(B)
    assert world.serving is None


async def test_a_slow_write_of_an_older_version_does_not_outlive_a_newer_one(world):
    """The disk has the serving version at the end, in whatever order the writes finish."""
    first = asyncio.Event()
    world.source.slow_writes = [first]
    await world.registry_names(A, settle=False)
    await until(lambda: world.recorded.of(events.Swapped))
    await world.registry_names(B, settle=False)
    await until(lambda: world.serving == 2)
    first.set()
    await until(lambda: world.source.written[-1:] == ["2"])
    assert world.source.verified[0] == B


async def test_a_slow_write_does_not_outlive_a_withdrawal(world):
    """A restart without the registry must not serve what was demoted during the write."""
    first = asyncio.Event()
    world.source.slow_writes = [first]
    await world.registry_names(A, settle=False)
    await until(lambda: world.recorded.of(events.Swapped))
    stopping = asyncio.create_task(world.registry_names(None, settle=False))
    await until(lambda: world.serving is None)
    first.set()
    await stopping
    assert world.source.verified is None


async def test_a_cache_failure_is_reported_and_changes_nothing_else(world):
    """The version serves from memory; the next successful write ends the fault."""
    world.source.disk_full = True
    await world.registry_names(A)
    await until(lambda: world.reconciler.cache_fault is not None)
    assert world.serving == 1
    (failed,) = world.recorded.of(events.CacheFailed)
    assert failed.serving == A
    assert "no space left" in failed.reason
    world.source.disk_full = False
    await world.registry_names(B)
    await until(lambda: world.reconciler.cache_fault is None)


async def test_closing_gives_up_a_load(world):
    """Without waiting for it; the serving version stays."""
    world.source.held["2"] = asyncio.Event()
    await world.registry_names(A)
    await world.registry_names(B, settle=False)
    await world.reconciler.close()
    await world.reconciler.settled()
    assert world.serving == 1
    assert world.reconciler.loading is None


async def test_an_old_servable_is_freed(world):
    """No reference keeps a version in memory after a swap."""
    await world.registry_names(A)
    old = weakref.ref(world.reconciler.serving)
    await world.registry_names(B)
    gc.collect()
    assert old() is None


async def test_simultaneous_reconciles_poll_one_after_the_other(world):
    """Responses cannot overtake each other."""
    inside = most = 0
    asked = world.source.aspired

    class Watched(FakeSource):
        async def aspired(self):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            return await asked()

    world.source = Watched(world.source._folder)
    world.restart()
    await asyncio.gather(*(world.reconciler.reconcile() for _ in range(10)))
    assert most == 1


async def test_load_errors_carry_their_stage(tmp_path):
    """The failure has the stage of the loader's error."""

    def refuse(version, fetched, interrupt):
        raise LoadError("examples", "answers otherwise")

    world = World(tmp_path, refuse)
    await world.registry_names(A)
    assert world.recorded.of(events.LoadFailed)[0].stage == "examples"
    with pytest.raises(NothingServing, match=r"m version 1 could not be loaded \(examples\)"):
        world.reconciler.require_serving()


async def test_a_bug_in_a_poll_is_reported(tmp_path):
    """Counted, shown and logged (`registry_internal`), not lost in the scheduler; the version and the polls go on."""
    world = World(tmp_path)
    await world.registry_names(A)
    asked = world.source.aspired

    async def fails():
        raise OverflowError("a number with secrets in it")

    world.source.aspired = fails
    await world.reconciler.reconcile()
    await world.reconciler.reconcile()
    failed = world.recorded.of(events.RegistryFailed)
    assert [(each.outcome, each.first) for each in failed] == [
        ("internal", True),
        ("internal", False),
    ]
    assert isinstance(failed[0].cause, OverflowError)
    assert "OverflowError" in world.reconciler.registry_status.fault
    assert "secrets" not in world.reconciler.registry_status.fault
    assert world.reconciler.serving is not None
    world.source.aspired = asked
    await world.registry_names(B)
    assert world.reconciler.registry_status.fault is None


class FakeApprovals:
    """Approvals that a test gives and takes; `of_files` refuses only once the files are known."""

    def __init__(self):
        self.refused, self.of_files = {}, {}
        self.counted = []

    async def update(self, aspired):
        pass

    def refusal(self, version, artifact=None):
        self.counted.append((version.version, artifact is not None))
        found = self.refused.get(version)
        return found or (self.of_files.get(version) if artifact else None)

    def serves(self, servable):
        pass


class TestApprovals:
    """Which versions may serve is also up to people."""

    @pytest.fixture
    async def world(self, tmp_path):
        made = World(tmp_path, approvals=FakeApprovals())
        made.approvals = made.options["approvals"]
        yield made
        await made.reconciler.close()

    def failures(self, world):
        return [(e.stage, e.reason) for e in world.recorded.of(events.LoadFailed)]

    async def test_a_version_that_waits_is_not_fetched_and_told_once(self, world):
        """Until what it waits for changes."""
        await world.registry_names(A)
        world.approvals.refused[B] = "0 of 2"
        for _ in range(3):
            await world.registry_names(B)
        world.approvals.refused[B] = "1 of 2"
        for _ in range(3):
            await world.registry_names(B)
        assert (world.serving, world.source.fetched) == (1, ["1"])
        assert self.failures(world) == [("approval", "0 of 2"), ("approval", "1 of 2")]
        del world.approvals.refused[B]
        await world.registry_names(B)
        assert (world.serving, world.reconciler.failure) == (2, None)

    async def test_files_are_counted_before_the_build_and_before_the_swap(self, world):
        await world.registry_names(A)
        assert world.approvals.counted == [("1", False), ("1", True), ("1", True)]

    async def test_other_files_are_told_once_and_tried_again_in_silence(self, tmp_path):
        """They are fetched with a growing delay: the store may be repaired."""
        world = World(tmp_path, approvals=FakeApprovals(), retry_seconds=0)
        world.options["approvals"].of_files[A] = "other files"
        for _ in range(3):
            await world.registry_names(A)
        assert (world.serving, world.source.fetched) == (None, ["1", "1", "1"])
        assert self.failures(world) == [("approval", "other files")]
        world.options["approvals"].of_files.clear()
        await world.registry_names(A)
        assert world.serving == 1
        await world.reconciler.close()

    @pytest.mark.parametrize("when_none", ["stop", "keep"])
    async def test_the_serving_version_stops_and_is_forgotten(self, tmp_path, when_none):
        """Also while the registry is down, and it is not restored; a new approval brings it back."""
        world = World(tmp_path, approvals=FakeApprovals(), when_none=when_none)
        approvals = world.options["approvals"]
        await world.registry_names(A)
        approvals.refused[A] = "withdrawn"
        await world.unreachable()
        assert world.swaps[-1] == (None, "unapproved")
        assert world.source.written == ["1", "none"]
        with pytest.raises(NothingServing, match="too few approvals"):
            world.reconciler.require_serving()
        await world.unreachable()
        await world.registry_names(A)
        with pytest.raises(NothingServing, match="m version 1 waits for approvals"):
            world.reconciler.require_serving()
        approvals.refused.clear()
        await world.registry_names(A)
        assert world.serving == 1
        await world.reconciler.close()

    async def test_it_stops_while_another_version_waits(self, world):
        """The other one serves as soon as it may."""
        await world.registry_names(A)
        world.approvals.refused = {A: "withdrawn", B: "0 of 2"}
        await world.registry_names(B)
        assert world.serving is None
        del world.approvals.refused[B]
        await world.registry_names(B)
        assert world.swaps[-2:] == [(None, "unapproved"), (2, "promoted")]

    async def test_it_never_serves_if_its_approvals_end_while_it_loads(self, world):
        await world.registry_names(A)
        world.source.held["2"] = asyncio.Event()
        await world.registry_names(B, settle=False)
        await until(lambda: "2" in world.source.fetched)
        world.approvals.refused[B] = "withdrawn"
        world.source.held["2"].set()
        await world.reconciler.settled()
        assert world.serving == 1
        assert self.failures(world) == [("approval", "withdrawn")]

    async def test_a_restart_serves_the_last_known_good_version_while_another_waits(self, world):
        """However often the registry is polled while it is restored."""
        await world.registry_names(A)
        world.approvals.refused[B] = "0 of 2"
        world.restart()
        await world.registry_names(B, settle=False)
        for _ in range(20):
            await world.registry_names(B, settle=False)
        await world.reconciler.settled()
        assert (world.serving, world.swaps[-1]) == (1, (1, "restored"))

    async def test_a_restored_version_needs_its_approvals_too(self, world):
        await world.registry_names(A)
        world.approvals.of_files[A] = "expired"
        world.restart()
        await world.unreachable()
        assert world.serving is None
        assert self.failures(world) == [("approval", "expired")]
