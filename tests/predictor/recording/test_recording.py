"""Predictions by every protocol become rows of Parquet, which DuckDB and pandas read."""

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import structlog

from predictor.keys import line_of
from tests.predictor.graphs import GOOD, METADATA, OURS, with_metadata
from tests.predictor.live import Live

FAR = 120  # seconds; only a hang reaches it
PROFILES = [{"name": name, "minimum": 0, "median": 1, "maximum": 2} for name in GOOD]
MODEL = with_metadata(OURS, feature_profiles=PROFILES, background=[[0, 0], [1, 1], [2, 0]])
V2 = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 0.0]}]}


@asynccontextmanager
async def recording(folder: Path, **settings: object) -> AsyncIterator[Live]:
    """A service that records below `folder`."""
    asked = {
        "record_uri": str(folder / "records"),
        "record_spool_dir": folder / "spool",
        "record_seconds": 0.1,
        **settings,
    }
    live = Live(folder, **asked)
    await live.serve(1, MODEL)
    async with live.on_socket(), live.service.recording.running():
        yield live
    await live.close()


async def until(true) -> None:
    deadline = time.monotonic() + FAR
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def recorded(folder: Path) -> pd.DataFrame:
    """All rows, in order of time."""
    found = [str(each) for each in (folder / "records").rglob("*.parquet")]
    if not found:
        return pd.DataFrame()
    return duckdb.sql(
        f"select * from read_parquet({found}, union_by_name=true) order by time, id"
    ).df()


async def send(live: Live, path: str, body: object, name: str, **headers: str) -> dict:
    response = await live.client.post(path, json=body, headers={"x-request-id": name, **headers})
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_each_protocol_is_recorded(tmp_path, fast_lane):
    """By both ways: the values that were computed with, and what was answered."""
    async with recording(tmp_path, fast_lane=fast_lane) as live:
        answer = await send(live, "/predict", GOOD, "one")
        await send(
            live, "/predict/batch", {"instances": [GOOD, {**GOOD, "mean_texture": 2.5}]}, "two"
        )
        await send(live, "/v2/models/m/infer", V2, "three")
        await send(live, "/invocations", {"dataframe_records": [GOOD]}, "four")
        await send(live, "/predict/explain", GOOD, "five")
        await send(live, "/predict/what-if", {"instances": [GOOD]}, "six")
        await send(live, "/predict/explain?what_if=true", GOOD, "seven")
        refused = await live.client.post("/predict", json={"mean_radius": 1})
        assert refused.status_code == 422
        await until(lambda: len(recorded(tmp_path)) >= 8)
    table = (
        recorded(tmp_path)
        .set_index("id")
        .loc[["one", "two#0", "two#1", "three", "four", "five", "six", "seven"]]
    )
    assert list(table["protocol"]) == [
        "predict", "predict_batch", "predict_batch", "open_inference", "mlflow_scoring", "explain",
        "what_if", "what_if",
    ]  # fmt: skip
    assert list(table["request_id"]) == [
        "one",
        "two",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
    ]
    assert list(table["feature_mean_texture"]) == [0, 0, 2.5, 0, 0, 0, 0, 0]
    assert table["feature_mean_radius"].dtype == "float32"
    assert set(table["prediction"]) <= {"malignant", "benign"}
    one = table.loc["one"]
    assert {label: one[f"probability_{label}"] for label in METADATA["class_labels"]} == answer[
        "probabilities"
    ]
    assert one["probability"] == answer["probability"]
    assert (one["model_name"], one["model_version"], one["run_id"]) == ("m", "1", "run1")
    assert (
        one["digest"]
        == "sha256:"
        + live.source.files(live.service.reconciler.serving.model_version).artifact.onnx_sha256
    )
    assert one["key_name"] is None or pd.isna(one["key_name"])
    assert list(one["warnings"]) == []
    assert list(table.loc["two#1"]["warnings"]) == [
        "mean_texture is 2.5, outside the range of the training data, 0 to 2"
    ]
    samples = live.samples()
    assert samples["predictor_recorded_rows_total", "recorded"] == 8
    assert samples["predictor_recorded_rows_total", "dropped"] == 0


async def test_files_are_private_and_in_folders_by_model_version_and_day(tmp_path):
    """Pandas reads the folder as well, without any of our code."""
    async with recording(tmp_path) as live:
        await send(live, "/predict", GOOD, "one")
    (file,) = (tmp_path / "records").rglob("*.parquet")
    day = recorded(tmp_path)["time"][0].date().isoformat()
    assert file.relative_to(tmp_path / "records").parts[:3] == ("m", "1", day)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(pd.read_parquet(tmp_path / "records")) == 1
    left = [each for each in (tmp_path / "spool").rglob("*") if each.is_file()]
    assert [each.name for each in left] == ["writer.lock"]


async def test_the_name_of_the_key_is_recorded(tmp_path):
    """Of the fast lane's requests, too; never the key itself."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("ward-4", "a" * 43) + "\n")
    async with recording(tmp_path, api_keys_file=keys) as live:
        for name in ("one", "two"):
            await send(live, "/predict", GOOD, name, **{"x-api-key": "a" * 43})
        await send(
            live, "/predict/batch", {"instances": [GOOD]}, "three", **{"x-api-key": "a" * 43}
        )
    assert list(recorded(tmp_path)["key_name"]) == ["ward-4"] * 3


async def test_values_can_be_left_out_or_hashed(tmp_path):
    """They never reach the disk."""
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    settings = {"record_omit": "mean_texture, mean_radius:hash", "record_hash_key_file": key}
    async with recording(tmp_path, **settings) as live:
        for name, radius in (("one", 1.25), ("two", 1.25), ("three", 1.5)):
            await send(live, "/predict", {**GOOD, "mean_radius": radius}, name)
    table = recorded(tmp_path)
    assert "feature_mean_texture" not in table
    first, second, third = table["feature_mean_radius"]
    assert first == second != third
    assert len(first) == 32


async def test_a_name_that_is_no_feature_is_said(tmp_path):
    """Once for each version: a mistyped name leaves nothing out, and the values are on disk."""
    with structlog.testing.capture_logs() as lines:
        async with recording(tmp_path, record_omit="mean_texture,mean_radios") as live:
            for name in ("one", "two"):
                await send(live, "/predict", GOOD, name)
    said = [line for line in lines if line["event"] == "record_omit_unknown"]
    assert [each["features"] for each in said] == [["mean_radios"]]
    assert "feature_mean_radius" in recorded(tmp_path)


@pytest.mark.whole
async def test_a_share_is_recorded(tmp_path):
    """Chosen by the request's id, so that all replicas choose alike."""
    names = [f"request-{number}" for number in range(60)]
    for folder in ("a", "b"):
        async with recording(tmp_path / folder, record_percent=50) as live:
            for name in names:
                await send(live, "/predict", GOOD, name)
    found = {*recorded(tmp_path / "a")["id"]}
    assert 10 < len(found) < 50
    assert found == {*recorded(tmp_path / "b")["id"]}


@pytest.mark.parametrize(
    ("when_full", "status", "outcome"), [("drop", 200, "dropped"), ("refuse", 503, "refused")]
)
async def test_a_full_spool(tmp_path, when_full, status, outcome):
    """The store cannot be written: rows are dropped and counted, or their requests refused; then all is well again."""
    store = tmp_path / "records"
    store.write_text("not a folder")
    async with recording(tmp_path, record_when_full=when_full, record_max_bytes=1 << 20) as live:
        batch = {"instances": [GOOD] * 4000}
        while not live.service.recording.keep.close_file(3600).rows.get(outcome):
            await live.client.post("/predict/batch", json=batch)
        with structlog.testing.capture_logs() as lines:
            single = await live.client.post("/predict/batch", json=batch)
            assert single.status_code == status
            await until(lambda: "records_dropped" in {line["event"] for line in lines})
        if status == 503:
            assert "could not be recorded" in single.json()["detail"]
            assert int(single.headers["retry-after"]) > 0
        store.unlink()
        await until(lambda: live.service.recording.keep.close_file(0).bytes_waiting == 0)
        await send(live, "/predict", GOOD, "after")
        await until(lambda: "after" in {*recorded(tmp_path).get("id", [])})


@pytest.mark.whole
async def test_a_killed_writer_loses_nothing(tmp_path):
    """It is started again, and writes the same files."""
    with structlog.testing.capture_logs() as lines:
        await _kill_the_writer_meanwhile(tmp_path)
    assert [line["code"] for line in lines if line["event"] == "record_writer_ended"] == [-9] * 3
    assert list(recorded(tmp_path)["id"]) == [f"{number:03}" for number in range(30)]


async def _kill_the_writer_meanwhile(tmp_path):
    async with recording(tmp_path) as live:
        for number in range(30):
            await send(live, "/predict", GOOD, f"{number:03}")
            if number % 10 == 5:
                writer = live.service.recording._writer
                writer.kill()
                await until(lambda before=writer: live.service.recording._writer is not before)
