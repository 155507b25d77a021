"""`POST /outcomes`: what turned out to be true is on disk before the response, and becomes Parquet."""

import json
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
import pandas as pd
import pytest
import structlog

from demo.processes import ROOT
from predictor.errors import OutcomesNotKept
from predictor.inference.batcher import Caller
from predictor.inference.compute import read_and_compute
from predictor.keys import line_of
from predictor.protocols.predict.records import OneRecord
from predictor.recording.frames import OutcomesFrame, VersionFrame
from predictor.recording.recorder import Recorder
from predictor.recording.sink import Sink
from predictor.recording.spool import Spool
from predictor.recording.writer import Writer
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.parts import servable_of
from tests.predictor.recording.test_recording import recording, send

ONE = {"id": "visit-1", "outcome": "malignant", "at": "2026-11-29T16:30:00Z"}


def outcomes(folder):
    """All rows, in the order of their ids."""
    found = [str(each) for each in (folder / "records" / "_outcomes").rglob("*.parquet")]
    return duckdb.sql(f"select * from read_parquet({found}) order by id").df() if found else None


async def report(live, body, status=202, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body)
    response = await live.client.post(
        "/outcomes", content=content, headers={"content-type": "application/json", **headers}
    )
    assert response.status_code == status, response.text
    return response.json()


async def test_an_outcome_becomes_a_row(tmp_path):
    """With its time, or that of the request."""
    before = datetime.now(UTC)
    async with recording(tmp_path) as live:
        assert await report(live, ONE) == {"accepted": 1}
        await report(live, {"id": "visit-2#3", "outcome": "benign"})
    table = outcomes(tmp_path)
    assert list(table["id"]) == ["visit-1", "visit-2#3"]
    assert list(table["outcome"]) == ["malignant", "benign"]
    assert table["at"][0].tz_convert(UTC) == datetime(2026, 11, 29, 16, 30, tzinfo=UTC)
    assert before <= table["at"][1] == table["received_at"][1] <= datetime.now(UTC)
    assert table["key_name"].isna().all()


async def test_values_of_each_type(tmp_path):
    """A class may be a text, an integer or a boolean; a regressor's value is a number; several targets are a list."""
    values = ["malignant", 3, True, 2.5, [1, 2.5], "Ärzte"]
    many = [{"id": str(n), "outcome": value} for n, value in enumerate(values)]
    async with recording(tmp_path) as live:
        assert await report(live, {"outcomes": many}) == {"accepted": 6}
        assert live.samples()["predictor_outcomes_total", "accepted"] == 6
        assert live.samples()["predictor_outcomes_total", "refused"] == 0
    table = outcomes(tmp_path)
    assert list(table["outcome"]) == ["malignant", "3", "true", "2.5", "[1,2.5]", "Ärzte"]
    assert list(table["outcome_type"]) == [
        "text", "integer", "boolean", "number", "list", "text",
    ]  # fmt: skip


async def test_files_are_private_and_apart_from_the_predictions(tmp_path):
    """In a folder by day, which pandas does not read with the predictions."""
    async with recording(tmp_path) as live:
        await send(live, "/predict", GOOD, "one")
        await report(live, ONE)
    (file,) = (tmp_path / "records" / "_outcomes").rglob("*.parquet")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.parent.name == outcomes(tmp_path)["received_at"][0].date().isoformat()
    assert list(pd.read_parquet(tmp_path / "records")["id"]) == ["one"]


async def test_the_key_that_may_predict_may_report(tmp_path):
    """Its name is kept; another key, or none, is refused."""
    keys, operations = tmp_path / "keys", tmp_path / "operations"
    keys.write_text(line_of("ward-4", "a" * 43))
    operations.write_text(line_of("prometheus", "b" * 43))
    files = {"api_keys_file": keys, "operations_keys_file": operations}
    async with recording(tmp_path, **files) as live:
        await report(live, ONE, **{"x-api-key": "a" * 43})
        await report(live, ONE, 401, **{"x-api-key": "b" * 43})
        await report(live, ONE, 401)
    assert list(outcomes(tmp_path)["key_name"]) == ["ward-4"]


async def test_without_a_record_there_is_no_such_route(tmp_path):
    """Nor anything of it in the document."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    await report(live, ONE, 404)
    assert "utcomes" not in (await live.client.get("/openapi.json")).text
    await live.close()


def test_without_a_record_nothing_of_it_is_imported():
    code = (
        "import sys; from predictor.service import compose, create_api; from predictor.settings import Settings;"
        "create_api(compose(Settings(MLFLOW_TRACKING_URI='http://registry'))); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "predictor.operations.webhook" in loaded
    assert not loaded & {"predictor.operations.outcomes", "predictor.recording.frames", "pyarrow"}


TOMORROW = (datetime.now(UTC) + timedelta(days=3)).isoformat()
FAULTY = [
    ({"outcome": "benign"}, ["id"]),
    ({"id": "", "outcome": "benign"}, ["id"]),
    ({"id": "x" * 201, "outcome": "benign"}, ["id"]),
    ({"id": 7, "outcome": "benign"}, ["id"]),
    ({"id": "a\nb", "outcome": "benign"}, ["id"]),
    ({"id": "a"}, ["outcome"]),
    ({"id": "a", "outcome": None}, ["outcome"]),
    ({"id": "a", "outcome": ""}, ["outcome"]),
    ({"id": "a", "outcome": "x" * 501}, ["outcome"]),
    ({"id": "a", "outcome": "\ud800"}, ["outcome"]),
    ({"id": "a", "outcome": {}}, ["outcome"]),
    ({"id": "a", "outcome": []}, ["outcome"]),
    ({"id": "a", "outcome": [[1]]}, ["outcome"]),
    ({"id": "a", "outcome": [None]}, ["outcome"]),
    ({"id": "a", "outcome": float("nan")}, ["outcome"]),
    ({"id": "a", "outcome": 1 << 63}, ["outcome"]),
    ({"id": "a", "outcome": 1, "at": "yesterday"}, ["at"]),
    ({"id": "a", "outcome": 1, "at": "2026-11-29T16:30:00"}, ["at"]),
    ({"id": "a", "outcome": 1, "at": "2026-13-29T16:30:00Z"}, ["at"]),
    ({"id": "a", "outcome": 1, "at": "0001-01-01T00:00:00+23:59"}, ["at"]),
    ({"id": "a", "outcome": 1, "at": TOMORROW}, ["at"]),
    ({"id": "a", "outcome": 1, "at": 1764430200}, ["at"]),
    ({"id": "a", "outcome": 1, "when": "now"}, ["when"]),
    ([], [""]),
    (7, [""]),
    ({"outcomes": []}, ["outcomes"]),
    ({"outcomes": {"id": "a", "outcome": 1}}, ["outcomes"]),
    ({"outcomes": [{"id": "a", "outcome": 1}], "id": "a"}, ["id"]),
    ({"outcomes": [{"id": "a", "outcome": 1}, 7]}, ["outcomes[1]"]),
    ({"outcomes": [{"id": "a", "outcome": 1}, {"id": "b"}, {"outcome": 1, "at": ""}]},
     ["outcomes[1].outcome", "outcomes[2].id", "outcomes[2].at"]),
]  # fmt: skip


async def test_every_fault_is_named_and_nothing_is_kept(tmp_path):
    """With the field and its position."""
    async with recording(tmp_path) as live:
        for body, fields in FAULTY:
            told = await report(live, body, 422)
            assert [each["field"] for each in told["errors"]] == fields, body
        too_many = {"outcomes": [{"id": "a", "outcome": 1}] * 10_001}
        assert (await report(live, too_many, 422))["errors"][0]["field"] == "outcomes"
        assert live.samples()["predictor_outcomes_total", "refused"] == len(FAULTY) + 1
    assert outcomes(tmp_path) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"\xff", 400), (b'{"id": "a", "id": "b", "outcome": 1}', 400), (b"[" * 100_000, 400),
        (b" " * (1 << 21), 413),
    ],
    ids=["half", "bytes", "twice", "deep", "long"],
)  # fmt: skip
async def test_a_body_that_cannot_be_read(tmp_path, body, status):
    async with recording(tmp_path) as live:
        await report(live, body, status)
        response = await live.client.post(
            "/outcomes", content="a,b", headers={"content-type": "text/csv"}
        )
        assert response.status_code == 415


async def test_as_many_as_a_request_may_have(tmp_path):
    many = [{"id": str(number), "outcome": 0} for number in range(10_000)]
    async with recording(tmp_path) as live:
        await report(live, {"outcomes": many})
    assert len(outcomes(tmp_path)) == 10_000


@pytest.mark.parametrize("when_full", ["drop", "refuse"])
async def test_outcomes_that_cannot_be_kept_are_refused(tmp_path, when_full):
    """Whatever happens to predictions: 503, a log line, and later all is well."""
    store = tmp_path / "records"
    store.write_text("not a folder")
    many = {"outcomes": [{"id": str(number), "outcome": "x" * 60} for number in range(8000)]}
    async with recording(tmp_path, record_when_full=when_full, record_max_bytes=1 << 20) as live:
        with structlog.testing.capture_logs() as lines:
            response = await live.client.post("/outcomes", json=many)
            while response.status_code == 202:
                response = await live.client.post("/outcomes", json=many)
        assert response.status_code == 503
        assert "could not be kept" in response.json()["detail"]
        assert response.headers["retry-after"]
        (line,) = [line for line in lines if line["event"] == "outcomes_not_kept"]
        assert (line["outcomes"], line["requests"]) == (8000, 1)
        assert live.samples()["predictor_outcomes_total", "refused"] == 8000
        store.unlink()
        while response.status_code == 503:
            response = await live.client.post("/outcomes", json=ONE)
    assert "visit-1" in set(outcomes(tmp_path)["id"])


async def test_the_document_has_the_route(tmp_path):
    """With its bodies and errors."""
    async with recording(tmp_path) as live:
        document = (await live.client.get("/openapi.json")).json()
    route = document["paths"]["/outcomes"]["post"]
    assert {*route["responses"]} == {"202", "400", "413", "415", "422", "503"}
    assert {"Outcome", "Outcomes", "AcceptedOutcomes"} <= {*document["components"]["schemas"]}
    one = route["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    assert {*one} == {*document["components"]["schemas"]["Outcome"]["properties"]}


async def test_the_documented_errors_are_those_that_clients_get(tmp_path):
    """With the same members, media types and texts."""
    async with recording(tmp_path, max_body_bytes=1 << 20) as live:
        document = (await live.client.get("/openapi.json")).json()
        responses = document["paths"]["/outcomes"]["post"]["responses"]
        for body, status, type_ in (
            ("{", 400, "application/json"), ("{}" + " " * (1 << 20), 413, "application/json"),
            ("a,b", 415, "text/csv"), ('{"outcomes": [{"outcome": 1}]}', 422, "application/json"),
        ):  # fmt: skip
            got = await live.client.post("/outcomes", content=body, headers={"content-type": type_})
            media = responses[str(status)]["content"][got.headers["content-type"]]
            (shown,) = [each["value"] for each in media["examples"].values()]
            assert {*shown} == {*got.json()}
            assert (shown["title"], shown["status"]) == (got.json()["title"], status)


def test_a_file_of_the_spool_from_before_an_update_is_read():
    """A version without positive class and threshold, as earlier ones wrote it."""
    earlier = ["version", "m", "1", "run", "d", [], ["a"], True]
    frame = msgspec.msgpack.decode(msgspec.msgpack.encode(earlier), type=VersionFrame)
    assert (frame.class_labels, frame.packed) == (["a"], True)
    assert frame.positive_class is frame.threshold is None


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path / "spool", Sink(str(tmp_path / "records"), tmp_path / "spool"), days=30)


def frame(*ids, received_at=None):
    now = received_at or int(datetime.now(UTC).timestamp() * 1e6)
    return OutcomesFrame(now, "ward-4", [*ids], ["1"] * len(ids), ["integer"] * len(ids), [now] * len(ids))  # fmt: skip


def test_what_a_killed_process_left_is_taken_over(tmp_path, writer):
    """Outcomes that were accepted, among them; a half one at the end was not."""
    recorder = Recorder(Spool(tmp_path / "spool", 1 << 24), "drop")
    recorder.keep_outcomes(frame("one", "two"))
    (living,) = (tmp_path / "spool").glob("*.open")
    content = living.read_bytes()
    living.with_name("0-1-0.open").write_bytes(content + content[:-3])  # nobody holds its lock
    writer.write_all()
    assert list(outcomes(tmp_path)["id"]) == ["one", "two"]
    recorder.close_file()
    writer.write_all()
    assert writer.is_empty()


def test_a_shadow_finds_its_rows_among_outcomes(tmp_path, writer):
    """Its frame names the place of the rows in the file."""
    recorder = Recorder(Spool(tmp_path / "spool", 1 << 24), "drop")
    servable = servable_of(tmp_path / "model", OURS)
    for name in ("one", "two"):
        recorder.keep_outcomes(frame(name))
        computed = read_and_compute(servable, [OneRecord()], [msgspec.json.encode(GOOD)])
        recorder(servable, [Caller(name)], computed)
        recorder.keep_outcomes(frame(name))
        recorder.add_shadow(f"9{name}", "d", [(computed.record, ["benign"], [0.5])])
    recorder.close_file()
    writer.write_all()
    table = pd.read_parquet(tmp_path / "records").set_index("id")
    assert dict(table["shadow_version"]) == {"one": "9one", "two": "9two"}


def test_outcomes_have_the_day_on_which_they_came(tmp_path, writer):
    """Those of one file may be of several days; old days are deleted."""
    recorder = Recorder(Spool(tmp_path / "spool", 1 << 24), "drop")
    now = datetime.now(UTC)
    for age in (0, 1, 40):
        at = int((now - timedelta(days=age)).timestamp() * 1e6)
        recorder.keep_outcomes(frame(str(age), received_at=at))
    recorder.close_file()
    writer.write_all()
    days = {each.name for each in (tmp_path / "records" / "_outcomes").iterdir()}
    assert days == {str((now - timedelta(days=age)).date()) for age in (0, 1)}


def test_a_spool_that_is_removed(tmp_path):
    """Its outcomes are refused, not lost."""
    recorder = Recorder(Spool(tmp_path / "spool", 1 << 24), "drop")
    (tmp_path / "spool").rmdir()
    with pytest.raises(OutcomesNotKept):
        recorder.keep_outcomes(frame("one"))


async def test_predictions_and_outcomes_share_a_file_of_the_spool(tmp_path):
    async with recording(tmp_path) as live:
        for number in range(5):
            await send(live, "/predict", GOOD, str(number))
            await report(live, {"id": str(number), "outcome": "benign"})
    records = [*(tmp_path / "records" / "m").rglob("*.parquet")]
    assert records
    assert list(outcomes(tmp_path)["id"]) == list("01234")
    assert sorted(pd.read_parquet(tmp_path / "records")["id"]) == list("01234")
