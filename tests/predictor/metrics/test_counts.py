"""Counts in one block of memory: they stay for later writers and for readers."""

import mmap
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from predictor.metrics.counts import Counts


@pytest.fixture
def block():
    return memoryview(mmap.mmap(-1, 1 << 16))


def test_a_key_has_one_place(block):
    """Its values start with zeros."""
    counts = Counts(block)
    place = counts.place("requests", "/predict", "200", size=3)
    assert counts.place("requests", "/predict", "200", size=3) == place
    counts.slots[place + 2] += 2.5
    assert dict(counts.read()) == {("requests", "/predict", "200"): [0, 0, 2.5]}
    assert counts.key_at(place) == ("requests", "/predict", "200")


def test_another_reader_sees_what_is_written(block):
    """Also keys that are created after its first read."""
    writer, reader = Counts(block), Counts(block)
    assert reader.value("a") == 0
    writer.slots[writer.place("a")] = 7
    assert reader.value("a") == 7
    writer.slots[writer.place("ü", '"quoted"\n')] += 1
    assert dict(reader.read()) == {("a",): [7], ("ü", '"quoted"\n'): [1]}


def test_the_next_process_of_a_block_continues_its_counts(block):
    """The counts of the previous process stay."""
    before = Counts(block)
    before.slots[before.place("a", size=2) + 1] = 41
    after = Counts(block)
    after.slots[after.place("a", size=2) + 1] += 1
    after.slots[after.place("b")] += 1
    assert dict(Counts(block).read()) == {("a",): [0, 42], ("b",): [1]}


def test_an_incomplete_record_is_ignored(block):
    """A process that ended while it appended leaves no bytes in the next values."""
    counts = Counts(block)
    counts.place("a")
    used = counts.slots[0]
    counts.slots[counts.place("to be lost", size=9)] = 5
    counts.slots[0] = used  # the number that is written last
    after = Counts(block)
    after.place("b", size=12)
    assert dict(after.read()) == {("a",): [0], ("b",): [0] * 12}


def test_whole_numbers_are_exact(block):
    """Up to 2**53, which takes 28,000 years at 10,000 a second."""
    counts = Counts(block)
    place = counts.place("a")
    counts.slots[place] = 2**53 - 1
    counts.slots[place] += 1
    assert counts.value("a") == 2**53


def test_a_full_block_continues_to_count_existing_keys():
    """Keys without space are not counted; nothing else changes."""
    counts = Counts(memoryview(mmap.mmap(-1, 4096)))
    assert not counts.full
    with capture_logs() as lines:
        places = [counts.place("k", str(number)) for number in range(1000)]
    (line,) = lines
    assert (line["event"], line["bytes"]) == ("counts_full", 4096)
    assert counts.full
    for place in places:
        counts.slots[place] += 1
    kept = dict(counts.read())
    assert 50 < len(kept) < 512
    assert set(map(tuple, kept.values())) == {(1.0,)}
    assert len(set(places)) == len(kept) + 1


def test_a_killed_process_leaves_all_its_counts(tmp_path):
    """The numbers are in shared memory."""
    file = tmp_path / "block"
    file.write_bytes(bytes(1 << 16))
    code = """
import mmap, os, signal, sys
from predictor.metrics.counts import Counts
with open(sys.argv[1], "r+b") as file:
    counts = Counts(memoryview(mmap.mmap(file.fileno(), 0)))
place = counts.place("a")
for _ in range(12345):
    counts.slots[place] += 1
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, file], cwd=Path(__file__).parents[3], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    with file.open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), 0)
    assert Counts(memoryview(shared)).value("a") == 12345
