"""The audit reports known vulnerabilities, and never treats an unknown package as safe."""

import pytest

from deploy.audit import NOT_AUDITED, VULNERABLE, ask, join, outcome, unknown, vulnerable

SAFE = {"name": "one", "version": "1", "vulns": []}
BAD = {"name": "two", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3"]}]}
SKIPPED = {"name": "two", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"one": SAFE}, 0),
        ({"one": SAFE, "two": BAD}, VULNERABLE),
        ({"one": SAFE, "two": SKIPPED}, NOT_AUDITED),
        ({"two": BAD, "three": SKIPPED}, VULNERABLE),
        ({}, NOT_AUDITED),
    ],
    ids=[
        "all looked up",
        "one is vulnerable",
        "one unknown",
        "vulnerable and unknown",
        "no answer",
    ],
)
def test_only_what_was_looked_up_counts_as_safe(report, code):
    assert outcome(report) == code


def test_a_vulnerability_is_named_with_the_version_that_mends_it():
    assert vulnerable({"two": BAD}) == ["two 2: CVE-1; fixed in 2.1, 3"]
    unmended = {**BAD, "vulns": [{"id": "CVE-2", "fix_versions": []}]}
    assert vulnerable({"two": unmended}) == ["two 2: CVE-2; fixed in no version yet"]


def test_a_second_service_adds_what_the_first_did_not_know():
    """It removes no result, also if it does not respond."""
    first = {"one": SAFE, "two": SKIPPED}
    assert join(first, {"one": {"name": "one", "skip_reason": "?"}, "two": BAD}) == {
        "one": SAFE,
        "two": BAD,
    }
    assert join(first, {}) == first
    assert unknown(join(first, {})) == ["two"]


def test_a_service_without_a_response_is_reported(tmp_path, capfd):
    """With a file that pip-audit cannot read."""
    assert ask(str(tmp_path / "missing.txt"), "pypi") == {}
    assert "gave no result" in capfd.readouterr().err
