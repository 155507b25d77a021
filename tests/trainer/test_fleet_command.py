"""The table of replicas: what each serves, and which lag."""

import json
from datetime import UTC, datetime, timedelta

from predictor.fleet.status import ReplicaStatus
from trainer.fleet_command import Replica, compared, desired_versions, table

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def replica(name, serves, desired, answered=0, *, uri="models:/m/Production", fault=None):
    """A replica that the registry answered `answered` seconds before noon."""
    at = (NOW - timedelta(seconds=answered)).isoformat()
    return Replica(name, uri, serves, desired, fault, at, NOW - timedelta(seconds=11))


def test_what_a_replica_writes_is_read():
    """The fields are the service's."""
    found = Replica.read(ReplicaStatus("a:1", "models:/m@b", serves="3", desired="4").encode())
    assert (found.name, found.model_uri, found.serves, found.desired) == (
        "a:1",
        "models:/m@b",
        "3",
        "4",
    )


def test_a_value_that_is_no_status_is_left_out():
    """Anybody who may write the bucket could put it there."""
    for value in (b"", b"[]", b"{}", b"\xff", b'"x"', json.dumps({"replica": "a"}).encode()):
        assert Replica.read(value) is None


def test_the_latest_answer_of_the_registry_says_what_should_serve():
    """A replica that cannot reach the registry does not know that it lags."""
    behind = replica("a", "3", "3", answered=40, fault="unreachable")
    ahead = replica("b", "4", "4", answered=1)
    elsewhere = replica("c", "7", "7", uri="models:/other/Production")
    assert desired_versions([behind, ahead, elsewhere]) == {
        "models:/m/Production": "4",
        "models:/other/Production": "7",
    }
    rows = table(compared([ahead, elsewhere, behind]), NOW).rows
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        ("a", "3", "4", "lags"), ("b", "4", "4", None), ("c", "7", "7", None),
    ]  # fmt: skip
    assert rows[0][5:] == ("unreachable", "11 s ago")


def test_a_replica_that_serves_while_none_should_lags():
    """And one that serves nothing then does not."""
    rows = table(compared([replica("a", "3", None), replica("b", None, None)]), NOW).rows
    assert [(row[0], row[4]) for row in rows] == [("a", "lags"), ("b", None)]


def test_json_has_what_the_table_shows():
    """The same lines in the same order; the time instead of the seconds since then."""
    lines = compared([replica("b", "4", "4"), replica("a", "3", "3", answered=40, fault="lost")])
    found = json.loads(json.dumps([each.fields() for each in lines]))
    assert found == [
        {
            "replica": "a", "model_uri": "models:/m/Production", "serves": "3", "desired": "4",
            "lags": True, "fault": "lost", "reported_at": "2026-11-28T11:59:49+00:00",
        },
        {
            "replica": "b", "model_uri": "models:/m/Production", "serves": "4", "desired": "4",
            "lags": False, "fault": None, "reported_at": "2026-11-28T11:59:49+00:00",
        },
    ]  # fmt: skip
