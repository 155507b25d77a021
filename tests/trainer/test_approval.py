"""Approvals as people give them: what is signed, what is refused, and whether the rule holds."""

import re
from datetime import UTC, datetime, timedelta

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.models import infer_signature

from approvals.envelope import Envelope
from approvals.statement import APPROVAL_TAG, Statement, Subject
from predictor.model_version import ModelUri
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from tests.predictor.graphs import regressor, with_external_data
from tests.predictor.parts import a_client, write_artifact
from tests.trainer.conftest import PROVEN
from trainer.approval import next_moment, parse_expiry, tag_of
from trainer.errors import NotApprovedError
from trainer.promotion import Policy
from trainer.signing_keys import open_key
from trainer.version_files import read_files

WHY = ["--reason", "seen", "--yes"]
WEIGHTS = np.array([1, 2], np.float32).tobytes()


async def fetched(url, name, version, folder):
    """What the service fetches: the digests that an approval must name."""
    client = a_client(url)
    uri = f"models:/{name}/{version}"
    registry = RegistryClient(client, ModelUri.parse(uri))
    source = RegistrySource(registry, ArtifactStores(client), Cache(folder, uri), 1 << 30)
    try:
        found = await source.fetch(await source.aspired())
    finally:
        await client.close()
    digests = dict(found.artifact.digests)
    digests.pop("input_example.json", None)
    return digests


async def test_what_is_signed_is_what_the_service_fetches(ward, mlflow_server, tmp_path):
    """Also the external data beside the graph."""
    write_artifact(tmp_path / "in", with_external_data(), **{"weights.bin": WEIGHTS})
    ward.add(tmp_path / "in")
    read = read_files(ward.shelf.client, ward.shelf.name, "1")
    assert read.digests.keys() == {"MLmodel", "model.onnx", "weights.bin"}
    assert read.digests == await fetched(mlflow_server.url, ward.shelf.name, "1", tmp_path)


@pytest.mark.whole  # MLflow tries the example
async def test_a_model_that_mlflow_logged_with_an_example(ward, mlflow_server, tmp_path):
    """MLflow's client gives the bytes of the store; the example is not signed."""
    rows = pd.DataFrame([[1.0, 2.0]], columns=["a b", "c"], dtype=np.float32)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            onnx.load_from_string(regressor()), name="model", registered_model_name=ward.shelf.name,
            signature=infer_signature(rows), input_example=rows, pip_requirements=[],
        )  # fmt: skip
    read = read_files(ward.shelf.client, ward.shelf.name, "1")
    assert len(read.digests) == 2
    assert read.digests == await fetched(mlflow_server.url, ward.shelf.name, "1", tmp_path)


def test_two_approve_and_one_withdraws(ward):
    ward.add()
    ward.person("alice", "bob")
    rule = ["--approvers", ward.approvers(2, "alice", "bob")]
    name = ward.shelf.name
    assert ward.run("approvals", "1", *rule).exit_code == 1
    shown = ward.ok("approve", "1", *WHY, "--key", "alice", "--expires", "90d", *rule)
    read = read_files(ward.shelf.client, name, "1")
    assert f"{read.graph_sha256}  model.onnx" in shown
    assert re.search("metrics  test_accuracy 0.96, test_roc_auc 0.99", shown)
    assert "parity   passed" in shown
    assert "gates    a promotion would be allowed\n  passed: parity of version 1" in shown
    assert f"version 1 of {name} may not serve: 1 of 2 approvals (alice)" in shown

    ((key, value),) = ward.tags("1", APPROVAL_TAG).items()
    assert re.fullmatch(APPROVAL_TAG + r"\d{8}T\d{12}Z\.alice", key)
    said = Statement.read(Envelope.read(value).payload)
    assert (said.subject, said.approver) == (Subject(name, "1", read.digests), "alice")
    assert (said.decision, said.reason) == ("approve", "seen")
    assert timedelta(days=89) < said.expires - datetime.now(UTC) < timedelta(days=90)

    assert "may serve, until 20" in ward.ok("approve", "1", *WHY, "--key", "bob", *rule)
    listed = ward.ok("approvals", "1", *rule)
    assert [line.split()[:2] for line in listed.splitlines()[1:3]] == [
        ["alice", "approve"],
        ["bob", "approve"],
    ]
    gone = ward.ok("withdraw", "1", *WHY, "--key", "alice", *rule)
    assert "alice withdrew every approval" in gone
    assert "may not serve: 1 of 2 approvals (bob); alice: withdrawn at" in gone
    assert len(ward.tags("1", APPROVAL_TAG)) == 3
    assert "may serve" in ward.ok("approve", "1", *WHY, "--key", "alice", *rule)


def test_the_gates_are_shown_also_of_a_version_that_is_asked_for_already(ward):
    """In MLflow's page it was moved before anybody approved it: it is compared with the one that a rollback brings back."""
    for _ in range(2):
        ward.add()
    ward.person("alice")
    for version in "12":
        ward.shelf.set_stage(version, "Production")
    shown = ward.ok("approve", "2", *WHY, "--key", "alice")
    assert "gates    a promotion would be allowed, with version 1 as the champion\n" in shown
    assert "passed: test_roc_auc 0.99 is not below the champion's 0.99" in shown
    ward.shelf.set_stage("1", "Archived")
    assert "passed: test_roc_auc 0.99, with no champion to compare" in ward.ok(
        "approve", "2", *WHY, "--key", "alice"
    )


def test_both_tables_count_who_approved_each_version(ward):
    """Only if the approvers are known; a withdrawn approval does not count."""
    for _ in range(3):
        ward.add()
    ward.person("alice", "bob")
    rule = ["--approvers", ward.approvers(2, "alice", "bob")]
    for version, key in ("1", "alice"), ("2", "alice"), ("2", "bob"), ("3", "bob"):
        ward.ok("approve", version, *WHY, "--key", key)
    ward.ok("withdraw", "3", *WHY, "--key", "bob")
    for version, stage in ("1", "Staging"), ("2", "Production"), ("3", "Production"):
        ward.shelf.set_stage(version, stage)
    for command, expected in (
        ("leaderboard", {"      1": "1 of 2", "      2": "2 of 2", "      3": "0 of 2"}),
        (
            "status",
            {
                "Production        3": "0 of 2",
                "Production        2": "2 of 2",
                "Staging           1": "1 of 2",
            },
        ),
    ):
        shown = ward.ok(command, *rule).splitlines()
        (heading,) = (line for line in shown if " approvals  " in line and "role" in line)
        at = heading.index("approvals")
        for start, count in expected.items():
            (row,) = (line for line in shown if line.startswith(f"{start} "))
            assert row[at : at + len("approvals")].strip() == count
        assert "approvals" not in ward.ok(command)


def test_nothing_is_signed_without_a_yes(ward):
    ward.add()
    ward.person("alice")
    assert ward.run("approve", "1", "--reason", "seen").exit_code == 1
    assert ward.run("withdraw", "1", "--reason", "seen").exit_code == 1
    for command in ("approve", "withdraw"):  # a variable that is not set
        empty = ward.run(command, "1", "--reason", " ", "--key", "alice", "--yes")
        assert (empty.exit_code, "the reason is empty" in empty.output) == (1, True)
    assert ward.tags("1", APPROVAL_TAG) == {}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"onnx_sha256": "0" * 64}, "the file or the tag was changed; register the model again"),
        ({"parity": "failed"}, "the tag parity of version 1 is 'failed'"),
    ],
)
def test_a_version_whose_tags_contradict_its_files_is_refused(ward, tags, message):
    ward.add(tags=tags)
    ward.person("alice")
    refused = ward.run("approve", "1", *WHY)
    assert refused.exit_code == 1
    assert message in refused.output
    assert ward.tags("1", APPROVAL_TAG) == {}


def test_a_version_without_files_or_without_a_graph_is_refused(ward, tmp_path):
    ward.shelf.add()
    (tmp_path / "no").mkdir()
    (tmp_path / "no/MLmodel").write_text("flavors: {sklearn: {}}")
    ward.add(tmp_path / "no")
    ward.person("alice")
    assert "check that the file exists" in ward.run("approve", "1", *WHY).output
    assert (
        "`python -m trainer convert MODEL_URI --register` makes a version"
        in ward.run("approve", "2", *WHY).output
    )


def test_a_key_that_the_file_of_approvers_does_not_have(ward):
    """Signed all the same, and said."""
    ward.add()
    ward.person("alice", "mallory")
    rule = ["--approvers", ward.approvers(1, "alice")]
    shown = ward.ok("approve", "1", *WHY, "--key", "mallory", *rule)
    assert (
        f"WARNING: the file of approvers does not have this key: {ward.lines['mallory']}" in shown
    )
    assert "may not serve: 0 of 1 approvals" in shown
    assert "mallory (not checked)" in ward.run("approvals", "1", *rule).output
    assert "--approvers FILE names the people" in ward.ok("approvals", "1")


def test_a_withdrawal_covers_an_approval_that_was_signed_by_a_clock_that_was_ahead(ward):
    version = ward.add()
    ward.person("alice")
    signer = open_key("alice", None)
    files = read_files(ward.shelf.client, ward.shelf.name, version).digests
    ahead = datetime.now(UTC) + timedelta(days=3)
    early = Statement(Subject(ward.shelf.name, "1", files), "approve", "", "alice", ahead)
    ward.shelf.registry.set_tag("1", *tag_of(early, signer))
    rule = ["--approvers", ward.approvers(1, "alice")]
    assert "alice: withdrawn at" in ward.ok("withdraw", "1", *WHY, *rule)
    again = ward.ok("approve", "1", *WHY, *rule)
    assert "by a clock that was ahead; this approval counts from then on" in again


def test_a_statement_is_never_earlier_than_the_one_before():
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    earlier = [Statement(Subject("m", "1", {}), "approve", "", "alice", noon)]
    assert next_moment(noon - timedelta(days=1), earlier) == noon + timedelta(microseconds=1)
    assert next_moment(noon + timedelta(days=1), earlier) == noon + timedelta(days=1)


def test_when_an_approval_ends():
    assert parse_expiry(None) is None
    assert parse_expiry("2999-01-31") == datetime(2999, 1, 31, tzinfo=UTC)
    assert parse_expiry("2999-01-31T12:00+02:00") == datetime(2999, 1, 31, 10, tzinfo=UTC)
    for text in ("soon", "", "d", "0d", "-3d", "2020-01-01", "9" * 12 + "d"):
        with pytest.raises(NotApprovedError, match="give days such as 90d, or a date such as"):
            parse_expiry(text)


def test_a_promotion_gives_no_approval_to_a_copy(shelf):
    """An older version is registered again under a new number, which nobody has approved."""
    for _ in range(2):
        shelf.add(tags=PROVEN | {f"{APPROVAL_TAG}x": "{}"})
    for version in ("2", "1"):
        shelf.lifecycle().promote(version, Policy())
    assert f"{APPROVAL_TAG}x" in shelf.registry.version("1").tags
    assert f"{APPROVAL_TAG}x" not in shelf.registry.version("3").tags


def test_a_file_of_approvers_that_cannot_be_used(ward, tmp_path):
    ward.add()
    (tmp_path / "people.toml").write_text("required = 1")
    for path, message in ("nowhere", "cannot be read"), ("people.toml", "has no [approvers]"):
        result = ward.run("approvals", "1", "--approvers", str(tmp_path / path))
        assert result.exit_code == 1
        assert message in result.output


def test_control_characters_of_a_reason_do_not_reach_the_terminal(ward):
    ward.add()
    ward.person("alice")
    ward.ok("approve", "1", "--reason", "fine \x1b[2J", "--yes")
    assert "fine ?[2J" in ward.ok("approvals", "1")
