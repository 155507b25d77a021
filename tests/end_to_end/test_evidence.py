"""A day of evidence, as docs/evidence.md tells it: shadow, promotion, drift, outcomes, and a rollback at night."""

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.linear_model import LogisticRegression

from exporters import log_model
from tests.end_to_end.parts import Registry, Service, trainer, wait_until
from trainer.data import POSITIVE, load

pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]

FAR = 120  # seconds: the process of the shadow only gets what others leave of the processor
ROWS = load()
RECORDS = ROWS.features.to_dict("records")


@dataclass
class Day:
    """A service with a shadow and a record, and the commands of the people around it."""

    registry: Registry
    service: Service
    folder: Path

    def shadow(self) -> dict[str, Any]:
        return dict(self.service.http.get("/model").json()["shadow"])

    def until_shadow(self, what: str, true: Callable[[dict[str, Any]], bool]) -> None:
        wait_until(lambda: true(self.shadow()), f"{what}; it is {self.shadow()}", FAR)

    def ask(self, prefix: str, records: list[dict[str, float]]) -> None:
        for number, record in enumerate(records):
            headers = {"x-request-id": f"{prefix}-{number}"}
            assert self.service.http.post("/predict", json=record, headers=headers).is_success

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Clients that ask without pause."""
        end = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=self.service.child.url, timeout=20) as client:
                while not end.wait(0.01):
                    name = uuid.uuid4().hex
                    record = RECORDS[int(name, 16) % len(RECORDS)]
                    client.post("/predict", json=record, headers={"x-request-id": name})

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def promote(self, version: str, *options: str) -> Any:
        arguments = ("promote", version, "--to", "Production", "--model", self.registry.name,
                     "--service", self.service.child.url, "--who", "ops@night", *options)  # fmt: skip
        return trainer(self.registry.url, *arguments, check=False)

    def entries(self, version: str) -> list[dict[str, Any]]:
        """The entries of the history about one version, in order."""
        tags = self.registry.client.get_model_version(self.registry.name, version).tags
        found = [tags[key] for key in sorted(tags) if key.startswith("hotswap.transition.")]
        return [json.loads(each) for each in found]

    def bins(self, feature: str) -> dict[str, float]:
        """The rows of a feature by bin, as Prometheus scrapes them."""
        text = self.service.http.get("/metrics").text
        return {
            sample.labels["bin"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "predictor_feature_rows_total" and sample.labels["feature"] == feature
        }


@pytest.fixture
def day(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Day:
    """Version 1 serves."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
    registry.stage("1", "Production")
    service = serve(
        registry,
        PREDICTOR_WORKERS="2",
        PREDICTOR_SHADOW_URI=f"models:/{registry.name}@challenger",
        PREDICTOR_RECORD_URI=str(tmp_path / "records"),
        PREDICTOR_RECORD_SECONDS="0.5",
        PREDICTOR_DRIFT_FEATURES="200",
    )
    service.until_serving("1")
    return Day(registry, service, tmp_path / "records")


def a_bad_version(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that has learnt nothing: it is exported well, and answers as chance does."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url)
    chance = np.random.default_rng(3).permutation(ROWS.target)
    model = LogisticRegression(max_iter=10_000).fit(ROWS.features, chance)
    logged = log_model(
        model, ROWS.features, registered_model_name=registry.name, positive_class=POSITIVE
    )
    return str(logged.registered_model_version)


def test_a_day(day: Day, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the first row that a challenger sees to the rollback of a version that nobody should have promoted."""
    registry, service = day.registry, day.service

    # In the morning version 2 becomes the challenger. It sees what version 1 answers.
    registry.client.set_registered_model_alias(registry.name, "challenger", "2")
    day.until_shadow("version 2 is compared", lambda s: s["state"] == "comparing")
    # A few patients are no evidence.
    day.ask("morning", RECORDS[:100])
    day.until_shadow("rows were compared", lambda s: s["rows"] > 0)
    gates = ("--gate", "test_roc_auc:0.5", "--gate", "test_sensitivity:0.5")
    few = day.promote("2", *gates, "--require-shadow", "rows=400,flips=0.1")
    assert few.returncode == 1
    assert "fewer than the required 400" in few.stderr
    assert service.serving() == "1"
    # By noon there are enough. The promotion stays under watch, with version 1 as the shadow.
    with day.traffic():
        day.until_shadow("there is evidence", lambda s: s["rows"] >= 400)
        good = day.promote("2", *gates, "--require-shadow", "rows=400,flips=0.1", "--bake", "8s")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "bake: version 2 stays" in good.stdout
    service.until_serving("2")
    (entry,) = day.entries("2")
    assert any("changed sides" in each and "passed" in each for each in entry["checks"])

    # The record has what both said, row by row.
    def recorded() -> str:
        return trainer(
            registry.url, "predictions", "show", str(day.folder), "--id", "morning-0"
        ).stdout

    wait_until(lambda: any(day.folder.rglob("*.parquet")), "a file is written")
    time.sleep(1.5)  # the files of a moment ago
    assert "shadow_prediction" in recorded()

    # In the afternoon a sensor sends zeros: the bins show it, before anybody looks at a prediction.
    before = day.bins("mean_area")["(below)"]
    day.ask("afternoon", [{**record, "mean_area": 0.0} for record in RECORDS[:50]])
    wait_until(lambda: day.bins("mean_area")["(below)"] == before + 50, "the zeros are counted")

    # Pathology reports what turned out to be true; version 1 is measured on its patients of the morning.
    outcomes = [
        {"id": f"morning-{number}", "outcome": str(ROWS.target[number])} for number in range(100)
    ]
    assert service.http.post("/outcomes", json={"outcomes": outcomes}).status_code == 202

    def report() -> list[dict[str, Any]]:
        said = trainer(registry.url, "outcomes", "report", str(day.folder), "--json").stdout
        return [group for group in json.loads(said)["groups"] if group["outcomes"]]

    wait_until(lambda: bool(report()), "the outcomes are written", FAR)
    (group,) = report()
    assert (group["model_version"], group["outcomes"]) == ("1", 100)
    assert group["metrics"]["sensitivity"]["value"] > 0.9

    # At night somebody forces a version that has learnt nothing. The bake takes it back.
    bad = a_bad_version(registry, monkeypatch)
    with day.traffic():
        night = day.promote(bad, "--force", "--reason", "hotfix", "--bake", "5m")
    assert night.returncode == 1, night.stdout + night.stderr
    assert "rows changed sides" in night.stderr
    assert f"rolled back: version 2 of {registry.name} serves again" in night.stdout
    service.until_serving("2")
    promoted, rolled_back = day.entries(bad)
    assert "FORCED" in night.stdout
    assert "hotfix" in promoted["why"]
    assert "bake:" in rolled_back["why"]
    assert "changed sides" in rolled_back["why"]

    # A reviewer gets all of it in one file.
    trainer(registry.url, "audit", "--model", registry.name, "--out", str(tmp_path / "audit.json"))
    audit = (tmp_path / "audit.json").read_text()
    assert "changed sides" in audit
    assert "hotfix" in audit
