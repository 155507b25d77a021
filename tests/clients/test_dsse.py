"""Signed statements are read by a library that we did not write."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from approvals.envelope import seal
from approvals.statement import Statement, Subject
from demo.processes import ROOT
from tests.required import environment
from trainer.history import Place, Transition
from trainer.signing_keys import KeyFolder, open_key

SCRIPT = ROOT / "tests/clients/dsse_reader.py"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def signer(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINER_KEYS_FOLDER", str(tmp_path))
    monkeypatch.setenv("TRAINER_PASSPHRASE", "correct horse battery")
    KeyFolder(tmp_path).create("alice", "correct horse battery")
    return open_key("alice", None)


def verified(tmp_path, signer, envelope, *, check=True):
    command = [environment("clients"), SCRIPT, tmp_path / "alice.pub", signer.public_key.key_id]
    return subprocess.run(command, input=envelope, capture_output=True, text=True, check=check)


def test_an_approval_and_a_transition_are_statements_of_in_toto(signer, tmp_path):
    """The signature is valid by securesystemslib, which reads the payload that we signed."""
    said = Statement(Subject("m", "1", {"model.onnx": "0" * 64}), "approve", "", "alice", NOON)
    made = Transition("1", Place.NONE, Place.PRODUCTION, NOON, "alice", "", "stage", model="m")
    for envelope, kind in (
        (seal(said.payload(), signer), "approval"),
        (made.tag_value(signer, "models:/m-1"), "transition"),
    ):
        statement = json.loads(verified(tmp_path, signer, envelope).stdout)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicateType"] == f"urn:mlflow-hotswap:{kind}:v1"
        (subject,) = statement["subject"]
        assert len(subject["digest"]["sha256"]) == 64


def test_it_refuses_an_envelope_that_was_changed(signer, tmp_path):
    envelope = json.loads(seal(b"{}", signer)) | {"payload": "e30g"}
    assert verified(tmp_path, signer, json.dumps(envelope), check=False).returncode == 1
