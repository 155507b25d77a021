"""From samples to verdicts."""

from dataclasses import replace

import pytest

from benchmarks.sample import rate, ratio
from benchmarks.servers import PREDICTOR
from benchmarks.targets import Target, targets
from stress.observation import Memory
from tests.benchmarks.parts import SAMPLE, fast


def test_a_target_that_is_just_reached_is_met():
    """Every target of a run that is just fast enough."""
    found = targets(fast())
    assert len(found) == 22
    assert {target.verdict for target in found} == {"met"}


def test_a_figure_beyond_its_limit_is_missed():
    """For large figures and small ones; also where the printed digits are equal."""
    assert Target("rate", 2.0, "times", 2.5, at_least=True).verdict == "missed"
    assert Target("memory", 110.01, "MB", 110).verdict == "missed"


def test_slower_than_the_empty_application_misses():
    """The ratio is the predictor's to the reference's, and not the other way round."""
    results = fast()
    slow = [replace(SAMPLE, requests_per_second=500, p99_us=400, cpu_us=60)] * 3
    many = {**results.http.loads[32], PREDICTOR: slow}
    http = replace(results.http, loads={**results.http.loads, 32: many})
    missed = {each.name: each for each in targets(replace(results, http=http)) if not each.met}
    assert missed["32 connections, CPU time per request"].limit == pytest.approx(0.45 * 30)
    assert missed["32 connections, p99"].value == 2
    assert set(missed) == {
        "32 connections, requests/s",
        "32 connections, requests/s (the aim is 2.5)",
        "32 connections, CPU time per request",
        "32 connections, p99",
    }


def test_a_round_that_was_disturbed_as_a_whole_changes_no_ratio():
    """Each round's own ratio counts, then their median."""
    theirs = [replace(SAMPLE, requests_per_second=r) for r in (1000, 500, 1000)]
    ours = [replace(SAMPLE, requests_per_second=r) for r in (2000, 1000, 2000)]
    assert ratio(ours, theirs, rate) == 2


def test_parts_that_were_not_run_have_no_targets():
    """`--only` tells of what it measured."""
    results = replace(
        fast(), http=None, protocols=None, swap=None, start={}, traces=None, texts=None, memory=None
    )  # fmt: skip
    assert [target.name for target in targets(results)] == ["batches of 10,000 rows, rows/s"]


def test_memory_that_one_swap_keeps_misses():
    """The worst swap counts, relative to before."""
    memory = replace(fast().memory, after=[Memory(400, 390), Memory(441, 390), Memory(400, 390)])
    (missed,) = (each for each in targets(replace(fast(), memory=memory)) if not each.met)
    assert missed.name == "memory (RSS) after swaps of a model of 100 MB"
    assert missed.value == 441 / 400
