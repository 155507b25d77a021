"""The latest events, for several readers, with limits."""

import asyncio
import contextlib
import re

import pytest

from demo.processes import ROOT
from predictor import events
from predictor.errors import NoStream
from predictor.operations.journal import Journal, StreamEvent
from tests.predictor.parts import version

LONG = 3600
EVENTS = ROOT / "docs" / "events.md"


def load(number):
    return events.LoadStarted(version(number))


def as_pairs(found):
    return [(number, each.payload["version"]["model_version"]) for number, each in found]


async def test_events_after_a_number_are_returned_in_order():
    """From any number whose events are still kept, and no event twice."""
    journal = Journal()
    for number in (7, 8, 9):
        journal.observe(load(number))
    assert as_pairs(journal.after(0)) == [(1, "7"), (2, "8"), (3, "9")]
    assert as_pairs(journal.after(2)) == [(3, "9")]
    assert journal.after(3) == []


async def test_only_the_last_ones_are_kept():
    """A reader that was away for too long learns that events are lost."""
    journal = Journal(kept=2)
    for number in range(5):
        journal.observe(load(number))
    assert as_pairs(journal.after(3)) == [(4, "3"), (5, "4")]
    assert journal.after(2) is None
    assert journal.after(6) is None


async def test_an_unchanged_response_of_the_registry_is_not_recorded():
    """Otherwise polls would push out all other events."""
    journal = Journal()
    journal.observe(events.RegistryAnswered(version(1), changed=False))
    journal.observe(events.RegistryFailed("unreachable", "refused", None, first=False))
    assert journal.last == 0


async def test_readers_wait_together_and_wake_together():
    """For the next event."""
    journal = Journal(silence_seconds=LONG)
    waits = [asyncio.create_task(journal.wait(0, journal.wakeup)) for _ in range(3)]
    await asyncio.sleep(0)
    journal.observe(load(1))
    assert await asyncio.wait_for(asyncio.gather(*waits), 10) == [True] * 3
    assert await journal.wait(0, journal.wakeup)


async def test_silence_wakes_a_reader():
    """So that it can send a heartbeat."""
    journal = Journal(silence_seconds=0.01)
    assert not await journal.wait(0, journal.wakeup)


async def test_an_event_before_a_reader_waits_ends_its_wait():
    """Also a removed key wakes the reader."""
    journal = Journal(silence_seconds=LONG)
    wakeup = journal.wakeup
    journal.wake()
    assert await asyncio.wait_for(journal.wait(0, wakeup), 10)


async def test_closing_wakes_readers_and_refuses_new_ones():
    """The service does not wait for readers."""
    journal = Journal(silence_seconds=LONG)
    wait = asyncio.create_task(journal.wait(0, journal.wakeup))
    await asyncio.sleep(0)
    journal.close()
    assert await asyncio.wait_for(wait, 10)
    with pytest.raises(NoStream, match="stops"), journal.reading():
        pass


async def test_the_number_of_readers_is_limited():
    """A reader that ends, for any reason, makes room; each change is counted."""
    counted = []
    journal = Journal(1, count=counted.append)
    with contextlib.suppress(ZeroDivisionError), journal.reading():
        with pytest.raises(NoStream, match="1 clients"), journal.reading():
            pass
        raise ZeroDivisionError
    with journal.reading():
        pass
    assert counted == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "given", [None, "", "-", "3", "x-3", "{mark}-", "{mark}--1", "{mark}-²", "{mark}-" + "9" * 5000]
)
async def test_an_id_of_another_process_has_no_number(given):
    """A client may send any text."""
    journal = Journal()
    mark = journal.id_of(0).partition("-")[0]
    assert journal.place_of(given and given.replace("{mark}", mark)) is None
    assert journal.place_of(Journal().id_of(3)) is None
    assert journal.place_of(journal.id_of(3)) == 3


HAPPENED = [
    (events.RegistryAnswered(version(1), changed=True), "registry_answered", "desired aspired"),
    (events.RegistryAnswered(None, changed=True, no_version_reason="x" * 9000), "registry_names_none", "reason"),
    (events.RegistryFailed("unreachable", "r", None, first=True), "registry_unreachable", "reason serving"),
    (events.RegistryFailed("refused", "r", version(1), first=True), "registry_refused", "reason serving"),
    (events.RegistryFailed("invalid_response", "r", None, first=True), "registry_invalid_response", "reason serving"),
    (events.RegistryFailed("internal", "r", None, first=True), "registry_internal", "reason serving"),
    (events.LoadStarted(version(1)), "load_started", "version"),
    (events.LoadSuperseded(version(1)), "load_superseded", "version"),
    (
        events.LoadFailed(version(2), "fetch", "r", 1, 2.0, version(1)), "load_failed",
        "version stage reason attempts retry_seconds serving",
    ),
    (
        events.Swapped(None, version(1), "promoted", 0.5, "ab"), "swapped",
        "serving previous reason load_seconds",
    ),
    (events.Swapped(version(1), None, "withdrawn"), "stopped_serving", "previous reason"),
    (events.InferenceTimedOut(version(1), 2), "inference_timed_out", "version times"),
    (events.ApprovalsChanged(None, None, 2), "approvals_changed", "required desired serving"),
    (events.ShadowChanged("failed", "r"), "shadow_changed", "state reason model_version digest run_id"),
    (events.CacheFailed(version(1), "full"), "cache_not_written", "reason serving"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "name", "fields"), HAPPENED)
def test_each_thing_has_a_name_and_a_payload(event, name, fields):
    """As documented; long texts are shortened."""
    found = StreamEvent.of(event)
    assert (found.name, list(found.payload)) == (name, [*fields.split(), "at"])
    assert len(found.payload.get("reason", "")) <= 2000


def test_the_document_has_every_event_with_its_fields():
    """Every documented event exists, and every event is documented."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", EVENTS.read_text(), re.MULTILINE)
    documented = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows}
    assert documented.pop("state") == []  # those of GET /model
    assert documented == {name: fields.split() for _, name, fields in HAPPENED}
