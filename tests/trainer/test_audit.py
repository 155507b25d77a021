"""The audit: what served when and who decided it, as JSON and as a page for a reviewer."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from trainer.audit import Span, periods
from trainer.errors import TrainerError
from trainer.history import Place, Transition

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def moved(version, target, hour, pointer="stage", replaced=None):
    when = NOON + timedelta(hours=hour)
    return Transition(version, Place.NONE, target, when, "ann", "", pointer, replaced)


def test_what_a_pointer_named():
    """By stage the highest number in Production, by alias the last; and nothing in between."""
    made = [
        moved("1", Place.PRODUCTION, 0), moved("3", Place.PRODUCTION, 1), moved("2", Place.PRODUCTION, 2),
        moved("3", Place.ARCHIVED, 3), moved("2", Place.ARCHIVED, 4), moved("1", Place.ARCHIVED, 5),
        moved("1", Place.PRODUCTION, 6),
        moved("9", Place.PRODUCTION, 2.5, "@live"), moved("4", Place.PRODUCTION, 3, "@live", "9"),
    ]  # fmt: skip
    found = [
        (each.pointer, each.version, (each.start - NOON) / timedelta(hours=1), each.end)
        for each in periods(made)
    ]
    assert [each[:3] for each in found] == [
        ("stage", "1", 0), ("stage", "3", 1), ("@live", "9", 2.5), ("@live", "4", 3), ("stage", "2", 3),
        ("stage", "1", 4), ("stage", "1", 6),
    ]  # fmt: skip
    assert [each[3] is None for each in found] == [False] * 3 + [True, False, False, True]


def test_a_span():
    span = Span.parse("2026-05-01", "2026-05-03")
    assert span.has(datetime(2026, 5, 3, 23, 59, tzinfo=UTC))
    assert not span.has(datetime(2026, 5, 4, tzinfo=UTC))
    assert Span.parse(None, None).has(NOON - timedelta(days=9999))
    with pytest.raises(TrainerError, match="--from 2026-05-05 is not before the end"):
        Span.parse("2026-05-05", "2026-05-04")
    with pytest.raises(TrainerError, match="--to is 'yesterday'; give a date"):
        Span.parse(None, "yesterday")


class Tags(HTMLParser):
    """The elements of a page, with their attributes; and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_evidence(ward, tmp_path):
    for _ in range(2):
        ward.add()
    ward.person("alice", "bob")
    rule = ["--approvers", ward.approvers(2, "alice", "bob")]
    for name in ("alice", "bob"):
        ward.ok("approve", "1", "--yes", "--key", name, "--reason", "<script>alert(1)</script>")
    ward.ok("promote", "1", "--to", "Production", "--key", "alice", "--reason", "first")
    ward.ok("withdraw", "1", "--yes", "--key", "bob", "--reason", "drift")
    shown = ward.ok("promote", "2", "--to", "Production", "--key", "bob", *rule)
    assert "WARNING: the service does not load version 2: it has 0 of 2 approvals" in shown
    assert (
        f"; 2 more needed, of alice, bob: `python -m trainer approve 2 --reason TEXT --model {ward.shelf.name}`"
        in shown
    )
    for name in ("alice", "bob"):
        ward.ok("approve", "2", "--yes", "--key", name, "--reason", "late")
    ward.ok("audit", "--out", str(tmp_path / "out/audit.json"), *rule)

    found = json.loads((tmp_path / "out/audit.json").read_text())
    first, second = found["served"]
    assert (first["version"], first["entry"]["who"], first["entry"]["why"]) == (
        "1",
        "alice",
        "first",
    )
    assert first["to"] == second["from"]
    assert first["approvals_at_the_start"]["summary"] == "2 of 2 approvals (alice, bob)"
    assert second["to"] is None
    assert second["approvals_at_the_start"]["sufficient"] is False
    withdrawn, late = (found["versions"][each]["approvals"][-1]["at"] for each in "12")
    assert first["approved"] == [{"from": first["from"], "to": withdrawn}]
    assert second["approved"] == [{"from": late, "to": None}]
    assert "passed: parity of version 1 is 'passed'" in first["entry"]["checks"]
    assert [each["status"] for each in found["history"]["entries"]] == ["verified"] * 2
    assert found["history"]["intact"]
    version = found["versions"]["1"]
    assert version["files"].keys() == {"MLmodel", "model.onnx"}
    assert version["metrics"]["test_roc_auc"] == 0.99
    assert [(each["signed_by"], each["decision"]) for each in version["approvals"]] == [
        (["alice"], "approve"), (["bob"], "approve"), (["bob"], "withdraw"),
    ]  # fmt: skip
    assert version["approvals_now"]["summary"].startswith(
        "1 of 2 approvals (alice); bob: withdrawn"
    )
    assert found["named_now"] == {"pointer": "stage", "version": "2"}

    page = Tags((tmp_path / "out/audit.html").read_text())
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.found}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.found)
    for text in (
        "<script>alert(1)</script>",
        "2 of 2 approvals (alice, bob)",
        "verified",
        "0.99",
        f"enough from {late} on",
    ):
        assert text in page.text

    ward.ok("audit", "--out", str(tmp_path / "out"), "--to", "2020-01-01", *rule)
    (empty,) = (tmp_path / "out").glob(f"audit-{ward.shelf.name}-*.json")
    assert json.loads(empty.read_text())["served"] == []

    ward.shelf.set_stage("2", "Archived")
    ((key, _),) = ward.tags("1", "hotswap.transition.").items()
    ward.shelf.registry.delete_tag("1", key)
    again = ward.ok("audit", "--out", str(tmp_path / "again"), *rule)
    assert "WARNING: an entry of the history has a fault" in again
    (written,) = (tmp_path / "again").glob("*.html")
    text = Tags(written.read_text()).text
    assert "it was moved outside the trainer" in text
    assert "The history is not proven: faults in this span: 1" in text
