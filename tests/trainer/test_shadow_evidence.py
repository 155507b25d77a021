"""The evidence of a shadow: which counts, and what it says."""

import pytest

from trainer.errors import GateError
from trainer.shadow_evidence import Evidence, Graph, Requirement, judge, of_service

NEW, OLD, OTHER = Graph("8", "b" * 64), Graph("7", "a" * 64), Graph("8", "c" * 64)
SHADOW = {
    "uri": "models:/m@challenger",
    "version": "8",
    "digest": f"sha256:{'b' * 64}",
    "state": "comparing",
    "reason": None,
    "compared_with": {"version": "7", "digest": f"sha256:{'a' * 64}"},
    "rows": 1000,
    "flips": [{"serving": "benign", "shadow": "malignant", "rows": 15}],
    "not_finite": 1,
    "failed_rows": 2,
    "difference": {"p50": 0.01, "p90": 0.02, "p99": 0.05, "max": 0.4},
}


def findings(*found, requirement="rows=1000,flips=0.02", challenger=NEW, champion=OLD):
    return [*judge(Requirement.parse(requirement), challenger, champion, found)]


def refusals(*found, **given):
    return [each.reason for each in findings(*found, **given) if not each.passed]


def test_the_state_of_a_service_is_evidence():
    """Of exactly two graphs."""
    found = of_service("http://a", {"shadow": SHADOW})
    assert found == Evidence("http://a", NEW, OLD, 1000, 15, 3, 0.05)


def test_enough_rows_that_agree_pass():
    """The findings have the numbers, for the history."""
    found = findings(Evidence("a", NEW, OLD, 1000, 20))
    assert [each.passed for each in found] == [True] * 3
    assert [each.reason for each in found] == [
        "the shadow answered 1,000 rows, the required 1,000",
        "20 of the shadow's 1,000 rows changed sides (2.00%), within 2.00%",
        "0 of the shadow's 1,000 rows had no finite answer (0.00%), within 0.00%",
    ]


def test_each_limit_refuses():
    """Too few rows, too many flips, an answer that is not finite, a large difference."""
    assert refusals(Evidence("a", NEW, OLD, 999, 0)) == [
        "the shadow answered 999 rows, fewer than the required 1,000"
    ]
    assert (
        "21 of the shadow's 1,000 rows changed sides"
        in refusals(Evidence("a", NEW, OLD, 1000, 21))[0]
    )
    assert "had no finite answer" in refusals(Evidence("a", NEW, OLD, 1000, 0, failed=1))[0]
    limit = {"requirement": "rows=10,flips=0.02,difference=0.1"}
    assert refusals(Evidence("a", NEW, OLD, 10, 0, difference=0.1), **limit) == []
    assert (
        "differ by at most 0.2, beyond 0.1"
        in refusals(Evidence("a", NEW, OLD, 10, 0, difference=0.2), **limit)[0]
    )


def test_an_unknown_difference_is_no_evidence():
    """Where the difference is asked for, one that is not known refuses."""
    assert refusals(Evidence("a", NEW, OLD, 10, 0), requirement="rows=10,flips=1,difference=1")


def test_replicas_add_up():
    """Rows and flips are those of all services."""
    two = Evidence("a", NEW, OLD, 600, 5), Evidence("b", NEW, OLD, 400, 15)
    assert refusals(*two) == []
    assert refusals(*two, requirement="rows=1000,flips=0.019")


def test_evidence_on_other_files_does_not_count():
    """The same number with another graph, or beside another champion."""
    assert (
        "is version 8 (sha256 cccccccccccc…) beside version 7"
        in refusals(Evidence("a", OTHER, OLD, 5000, 0))[0]
    )
    assert refusals(Evidence("a", NEW, OTHER, 5000, 0))
    # Beside good evidence it still refuses: one replica compares something else.
    assert refusals(Evidence("a", NEW, OLD, 5000, 0), Evidence("b", OTHER, OLD, 5000, 0))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "has no shadow"),
        ({"shadow": None}, "has no shadow"),
        (
            {"shadow": {**SHADOW, "compared_with": None, "reason": "other features"}},
            "compares nothing: other features",
        ),
        (
            {"shadow": {**SHADOW, "digest": None, "state": "waiting"}},
            "compares nothing: waiting",
        ),
    ],
)
def test_no_evidence_is_a_refusal(body, reason):
    """With what to do about it."""
    assert reason in refusals(of_service("http://a", body))[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rows=1000", "flips are missing"),
        ("", "rows=1000,flips=0.02"),
        ("rows=10,flips=2", "flips must be a share"),
        ("rows=x,flips=0", "rows must be a number of rows, not 'x'"),
        ("rows=0,flips=0", "at least 1"),
        ("rows=1.5,flips=0", "whole number"),
        ("rows=1,rows=2,flips=0", "form"),
        ("rows=1,flips=nan", "flips must be"),
        ("rows=1,flips=-1", "flips must be"),
        ("rows=1,flips=0,speed=1", "difference"),
    ],
)
def test_an_invalid_requirement_says_its_form(text, problem):
    """Before anything is asked."""
    with pytest.raises(GateError, match=problem):
        Requirement.parse(text)
