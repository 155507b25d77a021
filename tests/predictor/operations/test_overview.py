"""`GET /ops/overview`: workers, replicas and versions, however often it is asked and whatever is away."""

import asyncio
import json
import os
from datetime import UTC, datetime

import pytest

from predictor.errors import FleetError
from predictor.metrics import worker_state
from predictor.metrics.counts import Counts
from predictor.model_version import Listed, Listing, ModelUri
from predictor.operations.overview import KEEP_SECONDS, OverviewParts, _Kept, _overview
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.parts import version

PATH = "/ops/overview"


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    yield made
    await made.close()


def promoted(who="alice", pointer="stage", **more):
    when = datetime(2026, 11, 23, 12, tzinfo=UTC)
    record = {"to": "Production", "when": when.isoformat(), "who": who, "why": "better"}
    mark = {"hotswap.stage_changed": "20261123T120000000000Z 1795000000000"}
    return {"hotswap.transition.1": json.dumps({**record, "pointer": pointer, **more}), **mark}


async def overview(live):
    answer = await live.client.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def test_versions_have_what_people_decide_by(live):
    """Stage, aliases, parity, findings of the gates, statements of approvers, and who promoted it."""
    tags = {
        "parity": "passed",
        "dataset_digest": "d1",
        "candidate": "forest",
        "hotswap.approval.1": "{}",
    }
    tags |= promoted(checks=["test_roc_auc 0.99, not worse than 0.98"])
    eight = version(8, created=1_700_000_000_000, updated=1_795_000_000_000, **tags)
    seven = version(7)
    live.source.lists = Listing(
        [Listed(eight, "Production"), Listed(seven, "None")],
        {"champion": "8", "best": "8"},
        {"gate.test_roc_auc": "0.01", "owner": "us"},
        more=True,
    )
    found = (await overview(live))["registered"]
    assert (found["fault"], found["more"], found["gates"]) == (
        None, True, {"test_roc_auc": "0.01"},
    )  # fmt: skip
    first, second = found["versions"]
    assert first == {
        "model_version": "8", "run_id": "run8", "created_at": "2023-11-14T22:13:20.000+00:00",
        "stage": "Production", "aliases": ["best", "champion"], "candidate": "forest",
        "parity": "passed", "dataset_digest": "d1", "statements": 1,
        "moved": {
            "to": "Production", "when": "2026-11-23T12:00:00.000+00:00", "who": "alice",
            "why": "better", "checks": ["test_roc_auc 0.99, not worse than 0.98"],
            "changed_at": None,
        },
    }  # fmt: skip
    assert (second["stage"], second["parity"], second["moved"]) == (None, None, None)


async def test_it_says_on_whose_word_a_version_serves_without_asking_the_registry(live):
    live.source.graphs["7"] = (OURS, None)
    await live.say(version(7, **promoted()))
    live.source.down = True
    found = await overview(live)
    assert found["serving"]["who"] == found["desired"]["who"] == "alice"
    assert "connection refused" in found["registered"]["fault"]
    assert found["registered"]["versions"] == []


async def test_it_says_when_the_version_was_changed_after_the_trainer_moved_it(live):
    """As it was when the serving version was loaded does not matter, but what the registry said last."""
    live.source.graphs["7"] = (OURS, None)
    await live.say(version(7, updated=1_795_000_000_000, **promoted()))
    assert (await overview(live))["serving"]["changed_at"] is None
    await live.say(version(7, updated=1_795_000_060_000, **promoted()))
    found = await overview(live)
    assert found["serving"]["changed_at"] == "2026-11-18T11:07:40.000+00:00"
    assert found["serving"]["who"] == "alice"


async def test_what_happened_to_a_stage_says_nothing_about_an_alias(tmp_path):
    live = Live(tmp_path, model_uri="models:/m@champion")
    live.source.graphs["7"] = (OURS, None)
    await live.say(version(7, **promoted(pointer="@other")))
    assert (await overview(live))["serving"] is None
    await live.close()


async def test_texts_that_anybody_may_write_are_shortened(live):
    seven = version(7, parity="x" * 100_000, **promoted(who="y" * 100_000, checks=["z"] * 1000))
    live.source.lists = Listing([Listed(seven, "")], {"a" * 9000: "7"}, {}, more=False)
    assert len((await live.client.get(PATH)).content) < 5_000


async def test_ten_pages_cost_the_registry_no_more_than_one(live):
    """Requests at the same time share one, and the next within five seconds ask nothing."""
    await live.serve(7, OURS)
    await asyncio.gather(*(overview(live) for _ in range(10)))
    await overview(live)
    assert live.source.listed == [["7", "7"]]


async def test_while_the_registry_is_down_the_last_listing_stays_with_its_age():
    answers = [Listing((), {}, {}, more=True), FleetError("away"), FleetError("away")]

    async def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = _Kept(read, FleetError)
    await kept.refresh()
    first, kept._asked_at = kept.read_at, kept._asked_at - KEEP_SECONDS
    await kept.refresh()
    await kept.refresh()  # too soon for another try
    assert (kept.value.more, kept.read_at) == (True, first)
    assert "away" in kept.fault
    assert len(answers) == 1


async def test_a_reader_that_leaves_does_not_end_the_read_of_the_others():
    answer, reads = asyncio.Event(), []

    async def read():
        reads.append(1)
        await answer.wait()
        return 5

    kept = _Kept(read, FleetError)
    first, second = (asyncio.create_task(kept.refresh()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    answer.set()
    await second
    assert (kept.value, reads) == (5, [1])


async def test_the_only_process_is_worker_0(live):
    await live.serve(7, OURS)
    found = await overview(live)
    (worker,) = found["workers"]
    assert (worker["worker"], worker["model_version"], worker["desired"]) == (0, "7", "7")
    assert (worker["pid"], worker["starts"]) == (os.getpid(), 1)
    assert worker["digest"].startswith("sha256:")
    assert found["replicas"] is None


async def test_each_worker_has_its_own_line(live):
    """Also one that is starting, and one that could not load the version."""
    blocks = [Counts.alone() for _ in range(3)]
    for block, number in zip(blocks[:2], (8, 7), strict=True):
        state = worker_state.WorkerState(block)
        worker_state.begin(block)
        state.registry_answered(version(8))
        state.serves(version(number), "d" * 64)
        if number == 7:
            state.failed(version(8))
    kept = _Kept(lambda: None, FleetError)
    parts = OverviewParts(
        live.reconciler, ModelUri.parse("models:/m/Production"), None, None, 1, blocks
    )
    found = _overview(parts, kept, None)
    assert [(w.worker, w.model_version, w.desired, w.failed) for w in found.workers] == [
        (0, "8", "8", None), (1, "7", "8", "8"), (2, None, None, None),
    ]  # fmt: skip
    assert [bool(w.pid) for w in found.workers] == [True, True, False]
