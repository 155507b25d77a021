"""Comparisons are counted in all, and for each pair of versions, over all workers and their successors."""

import mmap

import pytest
import structlog

from predictor.metrics.counts import Counts
from predictor.metrics.exposition import Exposition
from predictor.shadow.bins import DIFFERENCES, SECONDS
from predictor.shadow.messages import Compared
from predictor.shadow.tally import Tally, Versions

ONE = Versions(("1", "a" * 64), ("2", "b" * 64))
TWO = Versions(("1", "a" * 64), ("3", "c" * 64))
FOUND = Compared(
    1, "2", "b" * 64, rows=10, failed=2, not_finite=1, flips=[("benign", "malignant", 3)],
    differences=[(DIFFERENCES.of(0.1), 9), (DIFFERENCES.of(0.5), 1)], difference_buckets=[(7, 9), (9, 1)],
    difference_sum=1.4, largest=0.5, serving_seconds=[(SECONDS.of(0.001), 1)], shadow_seconds=[(SECONDS.of(0.002), 1)],
    second_buckets=[(8, 1)], second_sum=0.002,
)  # fmt: skip


def block() -> memoryview:
    return memoryview(mmap.mmap(-1, 1 << 16))


def exposed(*blocks: Counts) -> str:
    return Exposition("m", *blocks[:1], blocks[1:]).render().decode()


def test_numbers_are_those_of_one_pair():
    """Another pair begins with zeros."""
    tally = Tally(Counts(block()))
    tally.compared(ONE, FOUND)
    tally.skipped(ONE, 4)
    told = tally.describe(ONE)
    assert {name: told[name] for name in ("rows", "failed_rows", "not_finite", "skipped_rows")} == {
        "rows": 10, "failed_rows": 2, "not_finite": 1, "skipped_rows": 4,
    }  # fmt: skip
    assert told["flips"] == [{"serving": "benign", "shadow": "malignant", "rows": 3}]
    assert told["difference"]["p50"] == pytest.approx(0.1, rel=0.11)
    assert told["difference"]["max"] == 0.5
    assert told["difference"]["p99"] <= 0.5
    assert told["serving_seconds"]["p99"] == pytest.approx(0.001, rel=0.11)
    assert told["shadow_seconds"]["p50"] == pytest.approx(0.002, rel=0.11)
    for other in (TWO, None):
        none = tally.describe(other)
        assert (none["rows"], none["flips"], none["difference"]) == (0, [], None)


def test_workers_are_added_and_their_successors_continue():
    """The largest difference is the largest of all."""
    memory = block()
    first, second = Counts(memory), Counts(block())
    Tally(first).compared(ONE, FOUND)
    Tally(second).compared(ONE, Compared(1, "2", "b" * 64, rows=1, largest=0.75))
    successor = Tally(Counts(memory), [second])
    successor.compared(ONE, FOUND)
    told = successor.describe(ONE)
    assert (told["rows"], told["difference"]["max"]) == (21, 0.75)
    assert told["flips"][0]["rows"] == 6


def test_metrics_are_there_from_the_start_and_add_up():
    """Of two classes each flip, too."""
    counts = Counts(block())
    tally = Tally(counts)
    tally.expect(["benign", "malignant"])
    text = exposed(counts)
    for outcome in ("compared", "skipped", "failed", "not_finite"):
        assert f'predictor_shadow_rows_total{{outcome="{outcome}"}} 0.0' in text
    assert 'predictor_shadow_flips_total{serving="malignant",shadow="benign"} 0.0' in text
    assert "predictor_shadow_restarts_total 0.0" in text
    tally.compared(ONE, FOUND)
    tally.failed(None, 5)
    tally.restarted()
    text = exposed(counts)
    assert 'predictor_shadow_rows_total{outcome="failed"} 7.0' in text
    assert 'predictor_shadow_flips_total{serving="benign",shadow="malignant"} 3.0' in text
    assert 'predictor_shadow_difference_bucket{le="0.05"} 0.0' in text
    assert 'predictor_shadow_difference_bucket{le="0.1"} 9.0' in text
    assert "predictor_shadow_difference_count 10.0" in text
    assert "predictor_shadow_seconds_sum 0.002" in text
    assert "predictor_shadow_restarts_total 1.0" in text


def test_flips_of_many_classes_are_bounded():
    """Further ones are counted together."""
    tally = Tally(Counts(memoryview(mmap.mmap(-1, 1 << 20))))
    for number in range(300):
        flips = [(f"class{number}", "none", 1)]
        tally.compared(ONE, Compared(1, "2", "b" * 64, rows=1, flips=flips))
    flips = tally.describe(ONE)["flips"]
    assert flips[0] == {"serving": "other", "shadow": "other", "rows": 200}
    assert len(flips) == 101


def test_full_memory_is_said_and_breaks_nothing():
    """Pairs without space are not counted alone."""
    small = Counts(memoryview(mmap.mmap(-1, 4096)))
    with structlog.testing.capture_logs() as lines:
        tally = Tally(small)
        tally.compared(ONE, FOUND)
    assert [line["event"] for line in lines] == ["counts_full"]
    assert tally.describe(ONE)["rows"] == 0
