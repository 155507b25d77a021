"""`trainer outcomes`: late, repeated, contradictory, unknown and ambiguous outcomes are handled and counted."""

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn import metrics
from typer.testing import CliRunner

from demo.processes import free_port, running, spawn
from tests.predictor.graphs import GOOD, METADATA, OURS
from tests.trainer.outcome_record import NOON, Record
from tests.trainer.recorded import record as record_answers
from trainer.cli import app
from trainer.errors import RecordsError

pytest.importorskip("duckdb", reason="duckdb is not installed; `make environments` installs it")
pytest.importorskip("pyarrow", reason="as duckdb")

from trainer import outcome_exporter, outcome_import, outcome_report
from trainer.outcomes import Outcomes
from trainer.records import Choice

B, M = "benign", "malignant"
SCORES = {B: (0.9, 0.1), M: (0.2, 0.8)}


@pytest.fixture
def record(tmp_path):
    (tmp_path / "records").mkdir()
    return Record(tmp_path / "records")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["outcomes", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def report(record, *arguments):
    return json.loads(run("report", record.folder, "--json", *arguments))


def answer(record, answers, **more):
    """Predictions by id."""
    record.predictions([*answers], [*answers.values()], [SCORES[each] for each in answers.values()], **more)  # fmt: skip


def numbers(group):
    return {name: each["value"] for name, each in group["metrics"].items()}


def test_the_only_row_of_a_batch_may_be_numbered(record):
    """A client that numbers the rows of its batches does so for the last one, too; other numbers stay unknown."""
    answer(record, {"one": M, "two#0": B, "two#1": M})
    record.outcomes(("one#0", M), ("two#0", B), ("two#1", M), ("one#1", M), ("three#0", M))
    found = report(record)
    assert (found["outcomes"]["unknown"], found["groups"][0]["outcomes"]) == (2, 3)


def test_each_version_is_measured_on_its_own_predictions(record):
    """With the positive class of the graph, which need not be the second."""
    answer(record, {"a": M, "b": B, "c": M, "d": B, "e": B})
    answer(record, {"f": M, "g": B}, version="2", positive_class=B)
    record.outcomes(("a", M), ("b", M), ("c", B), ("d", B), ("f", M), ("g", M))
    one, two = report(record)["groups"]
    assert (one["model_version"], one["positive"], one["run_id"]) == ("1", M, "run-1")
    assert (one["predictions"], one["outcomes"], one["coverage"]) == (5, 4, 0.8)
    assert numbers(one)["sensitivity"] == numbers(one)["specificity"] == 0.5
    assert numbers(one)["brier_score"] == pytest.approx((0.04 + 0.81 + 0.64 + 0.01) / 4)
    assert numbers(one)["roc_auc"] == 0.5
    assert (two["model_version"], two["positive"]) == ("2", B)
    assert numbers(two)["specificity"] == 0.5
    assert numbers(two)["sensitivity"] is None
    (other,) = report(record, "--version", "1", "--positive", B)["groups"]
    assert numbers(other)["sensitivity"] == 0.5
    assert other["positive"] == B


def test_the_operating_point_is_measured_at_its_threshold(record):
    answer(record, {"a": M, "b": B}, threshold=(M, 0.05), positive_class=M)
    record.outcomes(("a", M), ("b", M))
    (group,) = report(record)["groups"]
    assert numbers(group)["sensitivity"] == 0.5
    assert numbers(group)["operating_point_sensitivity"] == 1
    (other,) = report(record, "--positive", B)["groups"]
    assert "operating_point_sensitivity" not in other["metrics"]


def test_the_latest_outcome_counts(record):
    """Repetitions change nothing; a contradiction is counted."""
    answer(record, {"a": M, "b": M, "c": M})
    record.outcomes(("a", M), ("b", M), days=1)
    record.outcomes(("a", M), ("b", B), days=3)
    record.outcomes(("a", M), days=2)
    made = report(record)
    assert made["outcomes"] == {
        "reported": 5, "ids": 2, "repeated": 2, "contradictory": 1, "unknown": 0, "ambiguous_ids": 0,
        "ambiguous_predictions": 0, "ambiguous_outcomes": 0, "asked_again": 0,
    }  # fmt: skip
    (group,) = made["groups"]
    assert group["outcomes"] == 2
    assert numbers(group)["positive_predictive_value"] == 0.5
    # The first report of what counts, not its repetitions.
    assert group["days"] == pytest.approx({"p50": 2, "p90": 2.8})


def test_an_outcome_that_came_back_is_a_contradiction(record):
    """M, then B, then M again: the last one counts."""
    answer(record, {"a": M})
    for days, each in ((1, M), (2, B), (3, M)):
        record.outcomes(("a", each), days=days)
    made = report(record)
    assert (made["outcomes"]["repeated"], made["outcomes"]["contradictory"]) == (0, 1)
    assert numbers(made["groups"][0])["sensitivity"] == 1


def test_late_outcomes_count_and_are_counted(record):
    answer(record, {"a": M, "b": M})
    record.outcomes(("a", M), days=2)
    record.outcomes(("b", M), days=40)
    (group,) = report(record)["groups"]
    assert (group["outcomes"], group["late"]) == (2, 1)
    assert report(record, "--late", "1")["groups"][0]["late"] == 2
    assert group["days"]["p50"] == 21


def test_unknown_ids_are_counted(record):
    """Also where only some versions are shown: the record has them."""
    answer(record, {"a": M})
    answer(record, {"b": M}, version="2")
    record.outcomes(("a", M), ("b", M), ("nobody", B), ("a' or true --", B))
    assert report(record, "--version", "1")["outcomes"]["unknown"] == 2


def test_an_id_with_different_predictions_does_not_count(record):
    """In one version or in two, whichever is shown: nobody knows which one the outcome is for."""
    record.predictions(["a", "b", "c"], [M, M, M], [SCORES[M]] * 3, values=[1, 2, 3])
    record.predictions(["a"], [M], [SCORES[M]], values=[9])
    record.predictions(["b"], [B], [SCORES[B]], values=[2], version="2")
    record.outcomes(("a", B), ("b", B), ("c", M))
    made = report(record, "--version", "1")
    assert made["outcomes"]["ambiguous_ids"] == 2
    assert made["outcomes"]["ambiguous_predictions"] == 4
    assert made["outcomes"]["ambiguous_outcomes"] == 2
    (group,) = made["groups"]
    assert (group["predictions"], group["outcomes"]) == (1, 1)
    assert report(record, "--version", "2")["groups"] == []


def test_a_prediction_that_was_asked_again_is_one(record):
    """The same id, values, version and answer, as after a lost response; it has the time of the first."""
    for hours in (0, 30):
        at = NOON + timedelta(hours=hours)
        record.predictions(["a", "b"], [M, M], [SCORES[M]] * 2, values=[1, 2], at=at)
    record.outcomes(("a", M), days=3)
    made = report(record, "--by", "day")
    assert made["outcomes"]["asked_again"] == 2
    assert made["outcomes"]["ambiguous_ids"] == 0
    (group,) = made["groups"]
    assert (group["period"], group["predictions"], group["outcomes"]) == ("2026-11-02", 2, 1)
    assert group["days"]["p50"] == 3


def test_values_that_were_tried_out_are_no_predictions(record):
    """Nor do they make the id of a prediction ambiguous; an outcome of theirs is unknown."""
    answer(record, {"a": M})
    for id_, values in (("a", [7]), ("b", [8])):
        record.predictions([id_], [B], [SCORES[B]], values=values, protocol="what_if")
    record.outcomes(("a", M), ("b", B))
    made = report(record)
    assert (made["outcomes"]["ambiguous_ids"], made["outcomes"]["unknown"]) == (0, 1)
    (group,) = made["groups"]
    assert (group["predictions"], group["outcomes"]) == (1, 1)
    assert numbers(group)["sensitivity"] == 1


def test_an_outcome_that_is_no_class_does_not_count(record):
    """It is told."""
    answer(record, {"a": M, "b": M})
    record.outcomes(("a", M), ("b", "maligne"))
    (group,) = report(record)["groups"]
    assert (group["outcomes"], group["other_outcomes"]) == (2, 1)
    assert numbers(group)["positive_predictive_value"] == 1
    assert (
        "outcomes that are neither a class nor a value of their model (they do not count): 1\n"
        in run("report", record.folder)
    )


@pytest.mark.parametrize(
    ("classes", "outcomes"),
    [((0, 1), ("0", "1.0")), ((False, True), ("False", "TRUE")), ((0, 1), (" 0", "1"))],
)
def test_labels_as_other_programs_write_them(record, classes, outcomes):
    record.predictions(["a", "b"], [*classes], [(0.8, 0.2), (0.2, 0.8)], classes=classes)
    record.outcomes(("a", outcomes[0]), ("b", outcomes[1]))
    (group,) = report(record)["groups"]
    assert group["other_outcomes"] == 0
    assert numbers(group)["accuracy"] == 1


@pytest.mark.parametrize(
    ("by", "periods"),
    [
        ("day", ["2026-11-02", "2026-11-05", "2026-12-31", "2027-01-01"]),
        ("week", ["2026-W45", "2026-W53"]),
        ("month", ["2026-11", "2026-12", "2027-01"]),
    ],
)
def test_by_time_of_the_prediction(record, by, periods):
    """In UTC; weeks are those of ISO 8601."""
    moments = [NOON, NOON + timedelta(days=3)]
    moments += [datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
    for number, at in enumerate(moments):
        answer(record, {str(number): M}, at=at)
    record.outcomes(*((str(number), M) for number in range(4)), days=70)
    groups = report(record, "--by", by)["groups"]
    assert [each["period"] for each in groups] == periods
    assert sum(each["outcomes"] for each in groups) == 4
    (since,) = report(record, "--since", "2027-01-01")["groups"]
    assert since["predictions"] == 1


def test_several_classes(record):
    """Accuracy and means; each class against the rest; one of them with --positive."""
    classes, random = ("a", "b", "c"), np.random.default_rng(3)
    actual = random.integers(0, 3, 90)
    scores = random.dirichlet([1, 1, 1], 90) + np.eye(3)[actual] / 2
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    ids = [str(number) for number in range(90)]
    record.predictions(ids, [classes[n] for n in predicted], scores.tolist(), classes=classes)
    record.outcomes(*zip(ids, (classes[n] for n in actual), strict=True))
    (group,) = report(record)["groups"]
    assert (group["task"], group["positive"]) == ("multiclass", None)
    assert numbers(group)["accuracy"] == pytest.approx(metrics.accuracy_score(actual, predicted))
    assert numbers(group)["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(actual, scores, multi_class="ovr")
    )
    sensitivity = metrics.recall_score(actual, predicted, average=None)
    found = [each["sensitivity"]["value"] for each in group["classes"].values()]
    assert found == pytest.approx(sensitivity.tolist())
    (one,) = report(record, "--positive", "b")["groups"]
    assert one["task"] == "binary"
    assert numbers(one)["sensitivity"] == pytest.approx(sensitivity[1])
    assert "class against the rest" in run("report", record.folder)


def test_values_of_a_regressor(record):
    """A text that is no number is told."""
    record.predictions(["a", "b", "c"], [1.0, 2.5, 3.0], classes=())
    record.outcomes(("a", 2), ("b", "2.0"), ("c", "many"))
    (group,) = report(record)["groups"]
    assert (group["task"], group["outcomes"], group["other_outcomes"]) == ("regression", 3, 1)
    assert numbers(group) == pytest.approx({"mae": 0.75, "rmse": (1.25 / 2) ** 0.5, "bias": -0.25})
    assert "RMSE" in run("report", record.folder)


def test_several_targets_are_counted_and_not_measured(record):
    record.predictions(["a", "b"], [[1.0, 2.0], [3.0, 4.0]], classes=())
    record.outcomes(("a", "[1.0, 2.5]"))
    (group,) = report(record)["groups"]
    assert (group["task"], group["predictions"], group["outcomes"]) == ("several targets", 2, 1)
    assert group["metrics"] == {}


def test_a_classifier_without_probabilities(record):
    """And one whose graph has no list of its classes."""
    record.predictions(["a", "b"], [M, B])
    record.predictions(["c", "d"], [M, B], version="2", classes=())
    record.outcomes(("a", M), ("b", M), ("c", M), ("d", M))
    for group in report(record)["groups"]:
        assert numbers(group)["sensitivity"] == 0.5
        assert "roc_auc" not in group["metrics"]


def test_models_are_measured_each_by_itself(record):
    """A regressor and a classifier in one record."""
    answer(record, {"a": M})
    record.predictions(["b"], [1.5], classes=(), model="ward/b")
    record.outcomes(("a", M), ("b", 2))
    assert [(each["model_name"], each["task"]) for each in report(record)["groups"]] == [
        ("m", "binary"), ("ward/b", "regression"),
    ]  # fmt: skip
    (only,) = report(record, "--model", "ward/b")["groups"]
    assert numbers(only)["mae"] == 0.5


def test_without_outcomes(record):
    """Coverage 0, and nothing else is known."""
    answer(record, {"a": M})
    made = report(record)
    assert made["outcomes"]["reported"] == 0
    (group,) = made["groups"]
    assert (group["predictions"], group["coverage"]) == (1, 0)
    assert set(numbers(group).values()) == {None}
    assert "outcomes reported: 0, for 0 ids" in run("report", record.folder)


def test_the_tables(record):
    """For people: aligned, each value with its interval."""
    answer(record, {"a": M, "b": B, "c": M, "d": B})
    record.outcomes(("a", M), ("b", B), ("c", B), ("d", B), ("x", B))
    shown = run("report", record.folder).splitlines()
    assert shown[0].split()[:9] == [
        "model", "version", "period", "positive", "predictions", "outcomes", "coverage", "sensitivity", "specificity",
    ]  # fmt: skip
    assert shown[1].split()[:8] == ["m", "1", "-", M, "4", "4", "100.0", "%"]
    assert "1.000 (0.207 to 1.000)  0.667 (0.208 to 0.939)" in shown[1]
    assert "ids that are not in the record: 1" in shown
    assert any(line.split()[:4] == ["model", "version", "probability", "of"] for line in shown)


def test_nothing_is_like_that(record):
    answer(record, {"a": M})
    assert run("report", record.folder, "--model", "' or true --") == "no recorded prediction is like that\n"  # fmt: skip


def test_a_class_that_the_version_does_not_have(record):
    answer(record, {"a": M})
    said = run("report", record.folder, "--positive", "maligne", code=1)
    assert (
        "--positive 'maligne' is not a class of version 1 of m; it has 'benign', 'malignant'"
        in said
    )


def test_commands_on_predictions_do_not_see_outcomes(record):
    answer(record, {"a": M})
    record.outcomes(("a", M), ("b", M))
    result = CliRunner().invoke(app, ["predictions", "count", str(record.folder)])
    assert result.output.splitlines()[1].split()[:2] == ["1", "1"]


def test_a_record_of_outcomes_alone_has_no_predictions(record):
    record.outcomes(("a", M))
    assert "has no recorded predictions" in run("report", record.folder, code=1)


@pytest.mark.whole
async def test_what_the_service_recorded(tmp_path):
    """A batch by its rows; the positive class and the threshold are those of the graph."""
    requests = [
        ("/predict", GOOD, {"x-request-id": "one"}),
        ("/predict/batch", {"instances": [GOOD] * 2}, {"x-request-id": "two"}),
    ]
    folder = await record_answers(tmp_path, {1: OURS}, requests)
    Record(folder).outcomes(("1-one", M), ("1-two#0", M), ("1-two#1", B), ("1-two", B))
    made = json.loads(run("report", folder, "--json"))
    (group,) = made["groups"]
    assert group["positive"] == METADATA["positive_class"]
    assert (group["predictions"], group["outcomes"]) == (3, 3)
    assert made["outcomes"]["unknown"] == 1


# Import of CSV files.


def imported(record, text, *, code=0, name="file.csv"):
    file = record.folder.parent / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run("import", file, record.folder, code=code)


def test_a_file_is_imported_once(record):
    """A second import of the same content changes nothing, under whatever name and on whatever day."""
    answer(record, {"a": M, "b": B})
    text = "id,outcome,at\na,malignant,2026-11-05T10:00:00Z\nb,malignant,2026-11-06\n"
    assert "imported 2 outcomes to" in imported(record, text)
    (file,) = (record.folder / "_outcomes").rglob("*.parquet")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    moved = record.folder / "_outcomes" / "2026-11-07"
    file.parent.rename(moved)
    assert "was imported before" in imported(record, text, name="again.csv")
    assert [*(record.folder / "_outcomes").rglob("*.parquet")] == [moved / file.name]
    made = report(record)
    assert (made["outcomes"]["reported"], made["outcomes"]["repeated"]) == (2, 0)
    assert numbers(made["groups"][0])["sensitivity"] == 0.5
    assert made["groups"][0]["days"]["p50"] == pytest.approx((70 / 24 + 3.5) / 2)


def test_the_columns_are_those_of_the_service(record):
    """Names and types: both are read as one table."""
    imported(record, "id,outcome\na,malignant\n")
    record.outcomes(("a", M))
    one, two = [pq.read_schema(each) for each in (record.folder / "_outcomes").rglob("*.parquet")]
    assert one == two == outcome_import.SCHEMA


@pytest.mark.parametrize(
    "text",
    [
        "Outcome; ID ;patient\nmalignant;a;Smith\n",
        "id\toutcome\na\tmalignant\n",
        b"\xef\xbb\xbfid,outcome\r\na,malignant\r\n",
        'id,outcome\n"a", malignant\n',
    ],
)
def test_tables_of_other_programs(record, text):
    """Another delimiter, a byte order mark, other columns, which are not kept."""
    imported(record, text)
    (file,) = (record.folder / "_outcomes").rglob("*.parquet")
    table = pq.read_table(file)
    assert table.select(["id", "outcome"]).to_pylist() == [{"id": "a", "outcome": M}]
    assert b"Smith" not in file.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,malignant\n", "has no column id and no column outcome"),
        ("id,at\na,2026-11-05\n", "has no column outcome"),
        ("id,Id ,outcome\na,b,malignant\n", "has several columns id; leave one of each"),
        ("id,outcome\n", "has no outcomes"),
        ("", "has no column id"),
        ("id,outcome\na,malignant\nb,\n", "line 3: no outcome of 1 to 500 characters"),
        ("id,outcome\n,malignant\n", "line 2: no id of 1 to 200 characters"),
        ("id,outcome\na\n", "line 2: no outcome"),
        ("id,outcome,at\na,malignant,soon\n", "line 2: at is not a time up to now"),
        ("id,outcome,at\na,malignant,2999-01-01\n", "line 2: at is not a time up to now"),
        ('id,outcome\n"a,malignant\n', "not CSV"),
        (b"id,outcome\na,\xff\n", "not text in UTF-8"),
        ("id,outcome\n" + ",x\n" * 30, "; and 20 more"),
    ],
)
def test_a_file_with_a_fault_is_not_imported(record, text, message):
    """The line is named."""
    assert message in imported(record, text, code=1)
    assert [*record.folder.iterdir()] == []


def test_a_folder_that_does_not_exist(record):
    record.folder.rmdir()
    said = imported(record, "id,outcome\na,malignant\n", code=1)
    assert "does not exist; give the folder that PREDICTOR_RECORD_URI names" in said
    assert "cannot be read: No such file" in run("import", "no.csv", record.folder.parent, code=1)


def test_a_store_that_fsspec_knows(record, tmp_path):
    """Import and report."""
    answer(record, {"a": M})
    memory = fsspec.filesystem("memory")
    memory.put(str(record.folder), "/ward/records", recursive=True)
    (tmp_path / "a.csv").write_text("id,outcome\na,malignant\n")
    try:
        for _ in range(2):
            run("import", tmp_path / "a.csv", "memory://ward/records")
        made = json.loads(run("report", "memory://ward/records", "--json"))
    finally:
        memory.rm("/ward", recursive=True)
    assert made["outcomes"]["reported"] == 1
    assert numbers(made["groups"][0])["sensitivity"] == 1


# The exporter.


def samples(text):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_exporter_has_the_numbers_of_the_report(record):
    answer(record, {"a": M, "b": B}, model='a "b"\\')
    record.outcomes(("a", M), ("b", M), ("x", M))
    made = outcome_report.make(Outcomes(str(record.folder)), Choice())
    found = samples(outcome_exporter.render(made))
    group = made.groups[0]
    for name in ("sensitivity", "roc_auc", "brier_score", "observed_to_expected", "accuracy"):
        for bound, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            expected = getattr(group.metrics[name], bound)
            sample = found.get((f"predictor_realised_{name}{suffix}", 'a "b"\\', "1"))
            assert sample == (None if np.isnan(expected) else expected)
    assert found["predictor_realised_predictions", 'a "b"\\', "1"] == 2
    assert found["predictor_realised_outcomes", 'a "b"\\', "1"] == 2
    assert found["predictor_realised_reports", "unknown"] == 1
    assert ("predictor_realised_roc_auc", 'a "b"\\', "1") not in found


def test_every_metric_of_a_report_is_exported():
    """A new one needs its text."""
    from trainer import realised

    flags, scores = np.array([True, False]), np.array([0.9, 0.2])
    names = {*realised.binary(flags, flags, scores), *realised.at_threshold(flags, scores, 0.5)}
    names |= {*realised.several_classes(np.array([0, 1]), np.array([0, 1]), np.eye(2), 2)[0]}
    names |= {*realised.values(scores, scores)}
    assert names == {*outcome_exporter._TEXTS}


def test_a_computation_that_fails_leaves_the_values(record, capsys):
    """And is counted and told."""
    answer(record, {"a": M})
    broken = []

    def compute():
        if broken:
            raise RecordsError("the store is gone")
        return outcome_report.make(Outcomes(str(record.folder)), Choice())

    exporter = outcome_exporter.Exporter(compute)
    assert samples(exporter.text())[("predictor_realised_last_success_timestamp_seconds",)] == 0
    exporter.update()
    before = samples(exporter.text())
    broken.append(True)
    exporter.update()
    after = samples(exporter.text())
    assert after["predictor_realised_predictions", "m", "1"] == 1
    assert (before[("predictor_realised_failures_total",)], after[("predictor_realised_failures_total",)]) == (0, 1)  # fmt: skip
    name = ("predictor_realised_last_success_timestamp_seconds",)
    assert before[name] == after[name] > 0
    assert "error: the store is gone" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "m", "0m", "-1s", "5d", ""])
def test_a_time_that_is_none(text):
    with pytest.raises(RecordsError, match="is no time"):
        outcome_exporter.seconds(text)


def test_times():
    assert [outcome_exporter.seconds(each) for each in ("30s", "5m", "1h")] == [30, 300, 3600]


@pytest.mark.parametrize("listen", ["9109", ":9109", "127.0.0.1:port", "127.0.0.1:99999"])
def test_an_address_that_is_none(record, listen):
    assert f"--listen {listen}" in run("serve", record.folder, "--listen", listen, code=1).replace("'", "")  # fmt: skip


def test_the_exporter_serves_until_it_is_stopped(record):
    """And computes anew: an outcome that comes later is seen."""
    answer(record, {"a": M, "b": M})
    record.outcomes(("a", M))
    port = free_port()
    command = [
        sys.executable, "-m", "trainer", "outcomes", "serve", str(record.folder),
        "--listen", f"127.0.0.1:{port}", "--every", "1s",
    ]  # fmt: skip
    child = spawn(command, f"http://127.0.0.1:{port}", record.folder.parent / "log", {})
    with running(child, "/metrics"):

        def outcomes():
            with urlopen(f"{child.url}/metrics", timeout=20) as reply:
                assert reply.headers["content-type"] == outcome_exporter.CONTENT_TYPE
                return samples(reply.read().decode()).get(("predictor_realised_outcomes", "m", "1"))

        while outcomes() != 1:
            assert child.process.poll() is None
        record.outcomes(("b", B))
        while outcomes() != 2:
            assert child.process.poll() is None
        assert child.stop() == 0
