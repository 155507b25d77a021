"""A real Prometheus reads what `trainer outcomes serve` exports."""

import sys

import pytest

from demo.processes import free_port, running, spawn
from tests.monitoring.parts import started
from tests.trainer.outcome_record import Record

pytestmark = pytest.mark.whole


def test_prometheus_has_the_realised_performance(tmp_path):
    """Each version's, with the bounds of the intervals; and what was reported later."""
    folder, key = tmp_path / "records", tmp_path / "key"
    folder.mkdir()
    key.write_text("not asked for")
    record = Record(folder)
    labels = ["benign", "malignant"]
    for version in ("1", "2"):
        ids = [f"{version}-{number}" for number in range(4)]
        scores = [(0.9, 0.1), (0.2, 0.8)] * 2
        record.predictions(ids, labels * 2, scores, version=version)
    record.outcomes(*((f"1-{n}", labels[n % 2]) for n in range(4)), ("2-1", "malignant"))
    port = free_port()
    command = [
        sys.executable, "-m", "trainer", "outcomes", "serve", str(folder), "--listen", f"127.0.0.1:{port}",
        "--every", "1s",
    ]  # fmt: skip
    child = spawn(command, f"http://127.0.0.1:{port}", tmp_path / "exporter.log", {})
    with (
        running(child, "/metrics"),
        started(tmp_path, [f"127.0.0.1:{port}"], key) as prometheus,
    ):
        one, two = '{model_name="m", model_version="1"}', '{model_name="m", model_version="2"}'
        prometheus.until(f"predictor_realised_sensitivity{one} == 1", "version 1 found all cases")
        (low,) = prometheus.now(f"predictor_realised_sensitivity_low{one}").values()
        assert 0.3 < low < 0.4  # Wilson's for two of two
        prometheus.until(f"predictor_realised_outcomes{two} == 1", "version 2 has one outcome")
        record.outcomes(("2-3", "benign"), ("2-0", "malignant"))
        prometheus.until(f"predictor_realised_sensitivity{two} == 0.5", "later outcomes count")
        prometheus.until(
            "time() - predictor_realised_last_success_timestamp_seconds < 60", "it is fresh"
        )
        assert prometheus.now('predictor_realised_reports{kind="unknown"}').popitem()[1] == 0
