"""The evidence of a shadow: which counts, and what it says."""

import math

import pyarrow as pa
import pyarrow.parquet
import pytest

from trainer.errors import GateError
from trainer.shadow_evidence import Evidence, Graph, Requirement, judge, of_records, of_service

NEW, OLD, OTHER = Graph("8", "b" * 64), Graph("7", "a" * 64), Graph("8", "c" * 64)
SHADOW = {
    "uri": "models:/m@challenger",
    "model_version": "8",
    "digest": f"sha256:{'b' * 64}",
    "state": "comparing",
    "reason": None,
    "compared_with": {"model_version": "7", "digest": f"sha256:{'a' * 64}"},
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


def test_a_shadow_without_probabilities_is_no_evidence_of_their_difference():
    """The service says null; that is not 0. Beside a replica that knows it, it is still unknown."""
    found = of_service(
        "http://b", {"shadow": {**SHADOW, "not_finite": 0, "failed_rows": 0, "difference": None}}
    )
    known = Evidence("a", NEW, OLD, 10, 0, difference=0.01)
    limit = {"requirement": "rows=10,flips=1,difference=0.1"}
    for both in ((found,), (found, known), (known, found)):
        assert "http://b does not tell how far" in refusals(*both, **limit)[0]


def test_a_regressor_has_a_limit_of_its_own():
    """Its values have no flips, and differ by more than 1."""
    limit = {"requirement": "rows=10,flips=0,difference=5"}
    assert refusals(Evidence("a", NEW, OLD, 10, 0, difference=4.5), **limit) == []
    assert (
        "differ by at most 5.5, beyond 5"
        in refusals(Evidence("a", NEW, OLD, 10, 0, difference=5.5), **limit)[0]
    )


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


def recorded(tmp_path, prediction, said, digest=NEW.sha256, **columns):
    """A record of rows that version 7 answered; `said` are the shadow's predictions."""
    folder = tmp_path / "m" / "7" / "2026-11-29"
    folder.mkdir(parents=True)
    rows = len(prediction)
    table = {
        "id": [str(row) for row in range(rows)],
        "protocol": ["predict"] * rows,
        "model_name": ["m"] * rows,
        "model_version": ["7"] * rows,
        "digest": [f"sha256:{OLD.sha256}"] * rows,
        "prediction": prediction,
        "shadow_digest": [f"sha256:{digest}"] * rows,
        "shadow_prediction": said,
        **columns,
    }
    pa.parquet.write_table(pa.table(table), folder / "1.parquet")
    return of_records(str(tmp_path), "m", NEW, OLD)


def test_the_record_is_evidence(tmp_path):
    """The difference is that of the shadow's class; a row without its answer failed."""
    found = recorded(
        tmp_path,
        ["benign", "benign", "malignant", "benign"],
        ["benign", "malignant", "malignant", None],
        probability_benign=[0.9, 0.6, 0.2, 0.9],
        probability_malignant=[0.1, 0.4, 0.8, 0.1],
        shadow_probability=[0.8, 0.7, 0.75, None],
    )
    assert (found.rows, found.flips, found.failed) == (3, 1, 1)
    assert found.difference == pytest.approx(0.3)


def test_the_record_of_a_regressor_has_no_flips(tmp_path):
    """Two values are nearly always different."""
    found = recorded(tmp_path, [1.0, 2.0], [1.5, 2.0], shadow_probability=[None, None])
    assert (found.rows, found.flips, found.difference) == (2, 0, 0.5)


def test_a_record_without_evidence(tmp_path):
    """Of another graph, or of no shadow at all; numbers as classes have no difference without probabilities."""
    other = recorded(tmp_path, [1, 2], [1, 1], digest="c" * 64)
    assert (other.rows, other.flips) == (0, 0)
    assert math.isnan(other.difference)
    assert refusals(other)
    assert "no row of version 9" in of_records(str(tmp_path), "m", NEW, Graph("9", "a" * 64))
