"""The spool and its writer: nothing is lost and nothing doubled, whatever ends when."""

import shutil
from datetime import UTC, datetime, timedelta

import fsspec
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from sklearn.linear_model import LogisticRegression

from predictor.errors import NotRecorded
from predictor.inference.batcher import Caller
from predictor.inference.compute import Computed, read_and_compute
from predictor.inference.protocol import Read
from predictor.protocols.predict.records import OneRecord, Records
from predictor.recording.recorder import Recorder
from predictor.recording.sink import Sink
from predictor.recording.spool import Spool
from predictor.recording.writer import Writer
from tests.predictor.graphs import GOOD, OURS, converted, one_input_per_column, regressor
from tests.predictor.parts import servable_of

ONE = OneRecord()


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", 1 << 24)


@pytest.fixture
def recorder(spool):
    return Recorder(spool, "drop")


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path / "spool", Sink(str(tmp_path / "records"), tmp_path / "spool"), days=30)


@pytest.fixture
def servable(tmp_path):
    return servable_of(tmp_path / "model", OURS)


def record(recorder, servable, *names, protocol=ONE, body=GOOD):
    """Let each of these requests be computed and recorded."""
    bodies = [msgspec.json.encode(body)] * len(names)
    computed = read_and_compute(servable, [protocol] * len(names), bodies)
    return recorder(servable, [Caller(name) for name in names], computed)


def table(tmp_path):
    tables = [pq.read_table(path) for path in sorted((tmp_path / "records").rglob("*.parquet"))]
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({"id": []})


def ids(tmp_path):
    return sorted(table(tmp_path)["id"].to_pylist())


def test_what_a_killed_process_left_is_taken_over(tmp_path, recorder, servable, writer):
    """Up to the last whole frame: of the half one behind it, nobody got an answer."""
    record(recorder, servable, "one", "two")
    (living,) = (tmp_path / "spool").glob("*.open")
    left = living.with_name("0-1-0.open")  # nobody holds its lock
    left.write_bytes(living.read_bytes() + living.read_bytes()[:21])
    with structlog.testing.capture_logs() as lines:
        writer.write_all()
    assert ids(tmp_path) == ["one", "two"]
    (line,) = [line for line in lines if line["event"] == "records_recovered"]
    assert (line["bytes"], line["lost_bytes"]) == (living.stat().st_size, 21)
    assert living.exists()
    assert not writer.is_empty()


def test_a_file_that_is_written_twice_is_there_once(tmp_path, recorder, servable, writer):
    """The writer was killed after it wrote, and before it removed the file of the spool."""
    record(recorder, servable, "one", "two")
    recorder.close_file()
    (closed,) = (tmp_path / "spool").glob("*.spool")
    shutil.copy(closed, tmp_path / "copy")
    with structlog.testing.capture_logs() as lines:
        writer.write_all()
    assert lines == [{"event": "records_written", "log_level": "debug", "rows": 2}]
    shutil.copy(tmp_path / "copy", closed)
    writer.write_all()
    assert ids(tmp_path) == ["one", "two"]
    assert writer.is_empty()


@pytest.mark.parametrize("answer", [["benign", "high"], 1, 2.5, True, 1 << 63])
def test_a_shadow_whose_answers_do_not_fit_costs_no_record(
    tmp_path, recorder, servable, writer, answer
):
    """It has several targets, or other labels: its own column stays empty, and its version says that it was asked."""
    for name, shadow in (("one", "benign"), ("two", answer)):
        bodies = [msgspec.json.encode(GOOD)]
        computed = read_and_compute(servable, [ONE], bodies)
        recorder(servable, [Caller(name)], computed)
        recorder.add_shadow("2", "e", [(computed.record, [shadow], [None])])
    recorder.close_file()
    writer.write_all()
    assert not [*(tmp_path / "spool").glob("*.unreadable")]
    columns = ("id", "shadow_version", "shadow_prediction")
    found = table(tmp_path).select(columns).to_pylist()
    assert [tuple(each.values()) for each in found] == [("one", "2", "benign"), ("two", "2", None)]


class Undeletable(Sink):
    """A store in which this user may write and not delete."""

    def delete_older_than(self, days):
        raise PermissionError(13, "Permission denied")


def test_a_store_that_does_not_delete_is_written(tmp_path, recorder, servable):
    """Old records stay, which is said; the writer does not end, and new ones come."""
    sink = Undeletable(str(tmp_path / "records"), tmp_path / "spool")
    writer = Writer(tmp_path / "spool", sink, days=30)
    with structlog.testing.capture_logs() as lines:
        for name in ("one", "two"):
            record(recorder, servable, name)
            recorder.close_file()
            writer.write_all()
    assert ids(tmp_path) == ["one", "two"]
    said = [line["reason"] for line in lines if line["event"] == "records_not_deleted"]
    assert said == ["PermissionError: [Errno 13] Permission denied"]


def test_a_store_that_fails_loses_nothing(tmp_path, recorder, servable, writer):
    """It is tried again, later and later, and the log says so once."""
    store = tmp_path / "records"
    store.write_text("not a folder")
    record(recorder, servable, "one")
    recorder.close_file()
    with structlog.testing.capture_logs() as lines:
        pauses = [writer.write_all() for _ in range(9)]
    assert pauses[:3] == [1, 2, 4]
    assert max(pauses) == 60
    assert [line["log_level"] for line in lines] == ["error"] + ["debug"] * 8
    assert {line["event"] for line in lines} == {"records_not_written"}
    assert "records" in lines[0]["reason"]
    store.unlink()
    writer.write_all()
    assert ids(tmp_path) == ["one"]


def test_a_file_that_makes_no_sense_is_kept_aside(tmp_path, recorder, servable, writer):
    """The files behind it are written."""
    (tmp_path / "spool" / "0-1-0.spool").write_bytes(b"neither frame nor anything else")
    record(recorder, servable, "one")
    recorder.close_file()
    with structlog.testing.capture_logs() as lines:
        writer.write_all()
    assert ids(tmp_path) == ["one"]
    assert lines[0]["event"] == "records_unreadable"
    assert [path.name for path in (tmp_path / "spool").glob("*.unreadable")] == ["0-1-0.unreadable"]


def test_any_store_of_fsspec(tmp_path, recorder, servable):
    """Files arrive there by the store's own upload."""
    writer = Writer(tmp_path / "spool", Sink("memory://records", tmp_path / "spool"), days=0)
    record(recorder, servable, "one")
    recorder.close_file()
    writer.write_all()
    (path,) = fsspec.filesystem("memory").glob("/records/m/1/*/*.parquet")
    with fsspec.open(f"memory:/{path}") as file:
        assert pq.read_table(file)["id"].to_pylist() == ["one"]
    assert [path for path in (tmp_path / "spool").iterdir() if path.is_file()] == []


def test_old_days_are_deleted(tmp_path, recorder, servable, writer):
    """By the names of their folders; whatever else is there stays."""
    day = datetime.now(UTC).date()
    root = tmp_path / "records" / "m" / "1"
    for age in (0, 29, 31, 400):
        (root / str(day - timedelta(days=age))).mkdir(parents=True)
    (root / "notes").mkdir()
    with structlog.testing.capture_logs() as lines:
        writer.write_all()
    assert lines == [{"event": "records_deleted", "log_level": "info", "days": 2}]
    assert sorted(path.name for path in root.iterdir()) == [
        str(day - timedelta(days=29)), str(day), "notes",
    ]  # fmt: skip


def test_a_full_disk_leaves_whole_frames(tmp_path, recorder, servable, writer):
    """Linux has a device that is always full; here a limit stands for it. The next row that fits is recorded."""
    small = Recorder(Spool(tmp_path / "spool", 3000), "drop")
    record(small, servable, *map(str, range(400)))
    state = small.close_file()
    assert state.rows == {"dropped": 400}
    record(small, servable, "fits")
    assert small.close_file().rows == {"recorded": 1}
    writer.write_all()
    assert ids(tmp_path) == ["fits"]


def test_a_spool_that_somebody_removed_is_told(tmp_path, recorder, servable):
    """The rows in it are lost; later ones are dropped or refused until the folder is back."""
    record(recorder, servable, "one")
    shutil.rmtree(tmp_path / "spool")
    with structlog.testing.capture_logs() as lines:
        recorder.close_file()
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("records_not_closed", "error")
    record(recorder, servable, "two")
    assert recorder.close_file().rows == {"dropped": 1}
    (tmp_path / "spool").mkdir()
    record(recorder, servable, "three")
    assert recorder.close_file().rows == {"recorded": 1}


def test_rows_without_an_answer_are_not_recorded(tmp_path, recorder, servable, writer):
    """Of a batch with one such row, none was answered. Requests beside it were."""
    bodies = [
        {"instances": [GOOD]},
        {"instances": [GOOD, {"mean_radius": 1.0}]},
        {"instances": [GOOD] * 2},
    ]
    bodies = [msgspec.json.encode(each) for each in bodies]
    computed = read_and_compute(servable, [Records()] * 3, bodies)
    recorder(servable, [Caller("one"), Caller("wrong"), Caller("two")], computed)
    recorder.close_file()
    writer.write_all()
    assert ids(tmp_path) == ["one", "two#0", "two#1"]


def test_columns_have_the_types_of_the_model(tmp_path, recorder, writer):
    """A number, an integer, a flag and a text stay what they are."""
    servable = servable_of(tmp_path / "mixed", one_input_per_column())
    values = {"number": 1.5, "integer": 3, "boolean": True, "string": "Ärzte"}
    body = {each.name: values[each.type] for each in servable.signature.features}
    results = record(recorder, servable, "one", body=body)
    assert not isinstance(results[0], Exception)
    recorder.close_file()
    writer.write_all()
    found = table(tmp_path)
    for feature in servable.signature.features:
        column = found[f"feature_{feature.name}"]
        assert column.to_pylist() == [values[feature.type]]
        expected = "string" if feature.type == "string" else feature.dtype
        assert str(column.type).replace("double", "float64").replace("float", "float32").replace(
            "float3264", "float64"
        ) == expected.replace("object", "string")


@pytest.mark.parametrize("when_full", ["drop", "refuse"])
def test_a_value_that_cannot_be_written_costs_no_response(spool, tmp_path, when_full):
    """Half of a pair of UTF-16 is no text. The request gets its answer, or is refused; it never waits for ever."""
    recorder = Recorder(spool, when_full)
    servable = servable_of(tmp_path / "mixed", one_input_per_column())
    row = (1, True, 1.5, "A\ud800")
    computed = Computed.of_one(b"{}", ONE, Read([row]), servable.answer([(1, True, 1.5, "A")]))
    with structlog.testing.capture_logs() as lines:
        (result,) = recorder(servable, [Caller("one")], computed)
    assert isinstance(result, NotRecorded) == (when_full == "refuse")
    assert [line["event"] for line in lines] == ["records_internal"]
    assert sum(recorder.close_file().rows.values()) == 1


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor(tmp_path, recorder, writer, targets):
    """It has no probabilities; several targets are a list."""
    servable = servable_of(tmp_path / "regressor", regressor(targets=targets))
    body = {each.name: 1.0 for each in servable.signature.features}
    (result,) = record(recorder, servable, "one", body=body)
    recorder.close_file()
    writer.write_all()
    found = table(tmp_path)
    assert found["prediction"].to_pylist() == [msgspec.json.decode(result)["prediction"]]
    assert not [name for name in found.column_names if name.startswith("probability")]


@pytest.mark.parametrize("zipmap", [True, False])
def test_labels_that_are_numbers(tmp_path, recorder, writer, zipmap):
    """Also from a graph whose probabilities are maps."""
    x = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 2.0]] * 4)
    model = LogisticRegression().fit(x, [3, 5, 7] * 4)
    servable = servable_of(tmp_path / "numbers", converted(model, 2, zipmap=zipmap))
    body = {each.name: 1.0 for each in servable.signature.features}
    (result,) = record(recorder, servable, "one", body=body)
    recorder.close_file()
    writer.write_all()
    answer, found = msgspec.json.decode(result), table(tmp_path)
    assert found["prediction"].to_pylist() == [answer["prediction"]]
    assert found["probability"].to_pylist() == [answer["probability"]]
    for label, probability in answer["probabilities"].items():
        assert found[f"probability_{label}"].to_pylist() == [probability]


def test_answers_of_the_shadow_join_their_rows(tmp_path, recorder, servable, writer):
    """Of those rows that are recorded, and that it was given; later ones than their file are left out."""
    body = msgspec.json.encode(GOOD)
    for names in (["five", "six"], ["one", "two"], ["three"]):
        computed = read_and_compute(servable, [ONE] * len(names), [body] * len(names))
        recorder(servable, [Caller(name) for name in names], computed)
        if "five" in names:
            recorder.add_shadow("9", "d" * 64, [(computed.record, ["benign"], [0.5])])
        if "one" in names:
            place = computed.record
    recorder.add_shadow("9", "d" * 64, [(place, ["benign", None], [0.75, None])])
    late = (computed.record, ["benign"], [0.5])
    recorder.close_file()
    recorder.add_shadow("9", "d" * 64, [late])
    record(recorder, servable, "four")
    recorder.add_shadow("9", "d" * 64, [late])
    recorder.close_file()
    writer.write_all()
    rows = {row["id"]: row for row in table(tmp_path).to_pylist()}
    columns = ["shadow_version", "shadow_digest", "shadow_prediction", "shadow_probability"]
    found = {name: [row[column] for column in columns] for name, row in rows.items()}
    digest = "sha256:" + "d" * 64
    assert found == {
        "one": ["9", digest, "benign", 0.75],
        "two": ["9", digest, None, None],
        "three": [None] * 4,
        "four": [None] * 4,
        "five": ["9", digest, "benign", 0.5],
        "six": [None] * 4,
    }


def test_a_sample_of_the_requests_has_the_answers_to_its_rows(tmp_path, spool, servable, writer):
    """The shadow has computed all."""
    some = Recorder(spool, "drop", percent=50)
    names = [f"request-{number}" for number in range(40)]
    computed = read_and_compute(
        servable, [ONE] * len(names), [msgspec.json.encode(GOOD)] * len(names)
    )
    some(servable, [Caller(name) for name in names], computed)
    scores = [number / 100 for number in range(40)]
    some.add_shadow("9", "d" * 64, [(computed.record, ["benign"] * 40, scores)])
    some.close_file()
    writer.write_all()
    found = {row["id"]: row["shadow_probability"] for row in table(tmp_path).to_pylist()}
    assert 5 < len(found) < 35
    assert found == {name: scores[int(name.partition("-")[2])] for name in found}
