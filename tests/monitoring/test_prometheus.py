"""A real Prometheus watches real predictors through a scripted day: whatever ops look at has data.

Two replicas, one of them with two workers, follow a real MLflow server: traffic, a promotion, a version
that cannot be loaded, rollbacks, an outage of the registry, a killed worker, a withdrawal, a dead replica.
"""

import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import yaml

from grafana.dashboard import FILE
from predictor.keys import line_of
from tests.end_to_end.parts import Registry, Service, register_again, starter, wait_until
from tests.faults.parts import Proxy, reset
from tests.monitoring.parts import SHIPPED, WINDOW, Prometheus, in_fast_motion, started
from tests.nats_server import nats_server
from tests.shared import Server
from trainer.data import POSITIVE, load
from trainer.registry import register

DASHBOARD = json.loads(FILE.read_text())
ROWS = load()
ALL = ROWS.features.to_dict("records")
MALIGNANT = ROWS.features[ROWS.target == POSITIVE].to_dict("records")

# What the day provokes, and what it must not. Of the others, two depend on how busy the machine is, and
# one fires until the first scrape, because here no alert waits.
PROVOKED = {
    "PredictorDown", "PredictorServesNothing", "PredictorVersionDiffers", "PredictorLoadFails",
    "PredictorRegistryFails", "PredictorRefusals", "PredictorPredictionShift", "PredictorWorkerRestarts",
}  # fmt: skip
SILENT = {
    "PredictorRestarts", "PredictorCacheFails", "PredictorCountsFull", "PredictorRegistryStale",
}  # fmt: skip

# The first test waits for the whole day, and for the training if it is the first that needs it.
pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Watched:
    """What Prometheus saw of the day, which began at `start`."""

    prometheus: Prometheus
    model: str
    start: float

    def meant(self, expr: str) -> str:
        """A dashboard's expression with its variables, as Grafana puts them in."""
        for name, value in {
            "$job": "predictor", "$instance": ".+", "$model": self.model, "$__rate_interval": WINDOW,
        }.items():  # fmt: skip
            expr = expr.replace(name, value)
        assert "$" not in expr
        return expr

    def values(self, expr: str) -> list[float]:
        """All numbers that an expression had in the course of the day."""
        series = self.prometheus.since(self.start, expr)
        found = [float(value) for each in series for _, value in each["values"]]
        return [value for value in found if math.isfinite(value)]


class Day:
    """The script. Each step ends when Prometheus has seen it."""

    def __init__(
        self, prometheus: Prometheus, registry: Registry, proxy: Proxy, replicas: list[Service]
    ) -> None:
        self.prometheus = prometheus
        self.registry = registry
        self.proxy = proxy
        self.replicas = replicas

    def serves(self, number: str) -> None:
        """Wait until Prometheus has seen all workers serve it."""
        workers = f'sum(predictor_workers{{model_version="{number}"}}) == 3'
        self.prometheus.until(workers, f"version {number} serves everywhere")

    def batch(self, records: list[dict[str, float]]) -> None:
        for replica in self.replicas:
            answer = replica.http.post("/predict/batch", json={"instances": records})
            assert answer.status_code == 200, answer.text

    def traffic(self, number: str, records: list[dict[str, float]]) -> None:
        """One row first: what a series begins with is no increase."""
        self.batch(ALL[:1])
        known = f'count(predictor_predictions_total{{model_version="{number}"}}) >= 4'
        self.prometheus.until(known, f"version {number} has counted at both replicas")
        self.batch(records)

    def morning(self) -> None:
        """Version 1 serves all kinds of clients."""
        self.serves("1")
        self.traffic("1", ALL)
        for replica in self.replicas:
            for record in ALL[:40]:
                assert replica.http.post("/predict", json=record).status_code == 200
            for _ in range(40):
                assert replica.http.post("/predict", json={}).status_code == 422
        self.prometheus.until_firing("PredictorRefusals")

    def comparison(self) -> None:
        """Version 2 is the shadow of a replica, and gives other classes to some rows."""
        client, name = self.registry.client, self.registry.name
        client.set_registered_model_alias(name, "challenger", "2")
        self.prometheus.until("max(predictor_shadow_model_version) == 2", "version 2 is the shadow")

        def flips() -> bool:
            self.batch(ALL)
            return bool(
                self.prometheus.now(f"sum(rate(predictor_shadow_flips_total[{WINDOW}])) > 0")
            )

        wait_until(flips, "rows get another class", seconds=60)

    def promotion(self) -> None:
        """Version 2 serves, and finds only what is malignant."""
        self.registry.stage("2", "Production")
        self.serves("2")
        self.traffic("2", MALIGNANT * 2)
        self.prometheus.until_firing("PredictorPredictionShift")

    def failed_load(self) -> None:
        """A version whose file is not the one that was registered."""
        client, name = self.registry.client, self.registry.name
        first = client.get_model_version(name, "1")
        made = register(
            client, model_name=name, run_id=first.run_id, source=first.source,
            description="", tags={**first.tags, "onnx_sha256": "0" * 64},
        )  # fmt: skip
        self.registry.stage(made, "Production")
        self.prometheus.until_firing("PredictorLoadFails", "PredictorVersionDiffers")
        self.registry.stage(made, "Archived")
        self.prometheus.until("max(predictor_failed_model_version) == 0", "nothing fails any more")

    def rollback(self) -> None:
        self.registry.stage("2", "Archived")
        self.serves("1")

    def outage(self) -> None:
        """The registry is gone for a while."""
        self.proxy.misbehave("", reset)
        self.prometheus.until_firing("PredictorRegistryFails")
        self.proxy.behave()
        self.prometheus.until(
            'absent(ALERTS{alertname="PredictorRegistryFails"})', "the registry is back"
        )

    def killed_worker(self) -> None:
        supervisor = self.replicas[1].child.process.pid
        worker = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0]
        os.kill(int(worker), signal.SIGKILL)
        self.prometheus.until_firing("PredictorWorkerRestarts")
        self.serves("1")

    def evening(self) -> None:
        """None may serve any more, and one replica goes."""
        self.registry.stage("1", "Archived")
        self.prometheus.until_firing("PredictorServesNothing")
        self.replicas[0].child.stop()
        self.prometheus.until_firing("PredictorDown")


@pytest.fixture(scope="module")
def watched(trained: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    key, hashed = folder / "key", folder / "keys"
    key.write_text("for-operations")
    hashed.write_text(line_of("prometheus", "for-operations"))
    registry = register_again(trained.url)
    registry.stage("1", "Production")
    with ExitStack() as stack:
        # This environment has nats-py.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SERVICE_PYTHON", sys.executable)
        nats = stack.enter_context(nats_server(folder))
        settings = {
            "PREDICTOR_OPERATIONS_KEYS_FILE": str(hashed), "PREDICTOR_NATS_URL": nats.url,
            "PREDICTOR_DRIFT_FEATURES": "200",
        }  # fmt: skip
        proxy = stack.enter_context(Proxy(int(trained.url.rpartition(":")[2])))
        start = starter(stack, folder)
        behind = replace(registry, url=proxy.url)
        replicas = [
            start(
                behind,
                "one",
                **settings,
                PREDICTOR_SHADOW_URI=f"models:/{registry.name}@challenger",
            ),
            start(behind, "two", PREDICTOR_WORKERS="2", **settings),
        ]
        targets = [replica.child.url.removeprefix("http://") for replica in replicas]
        prometheus = stack.enter_context(started(folder, targets, key))
        began = time.time()
        day = Day(prometheus, registry, proxy, replicas)
        for part in (
            day.morning, day.comparison, day.promotion, day.failed_load, day.rollback, day.outage, day.killed_worker,
            day.evening,
        ):  # fmt: skip
            part()
            print(f"{part.__name__} ended after {time.time() - began:.1f} s")
        yield Watched(prometheus, registry.name, began)


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard, each with the name of where it is."""
    for each in DASHBOARD["panels"]:
        for panel in (each, *each.get("panels", ())):
            for target in panel.get("targets", []):
                yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield f"mark {annotation['name']}", annotation["expr"]


EXPRESSIONS = list(expressions())
EXPIRY = "predictor_approvals_expiry_timestamp_seconds"


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_whatever_is_on_the_dashboard_has_data(watched, where, expr):
    """No panel and no annotation is empty: an empty one may have a wrong expression."""
    found = watched.values(in_fast_motion(watched.meant(expr)))
    if EXPIRY in expr:  # nothing expires on that day, but the series is there
        found = found or watched.values(EXPIRY)
    assert found, where


FIGURES = {
    each["title"]: each["targets"][0]["expr"]
    for each in DASHBOARD["panels"]
    if each["type"] == "stat"
}


@pytest.mark.parametrize("title", FIGURES)
def test_without_a_replica_a_figure_says_nothing(watched, title):
    """Neither zero nor well. The one that shows names has a name for it."""
    expr = watched.meant(FIGURES[title].replace("$job", "another"))
    unknown = {("unknown",): 0.0} if title == "Versions that serve" else {}
    assert watched.prometheus.now(in_fast_motion(expr)) == unknown


def test_the_versions_that_serve_are_named_one_after_the_other(watched):
    """By the name of each series: 0 is none. While there are replicas, none is unknown."""
    found = watched.prometheus.since(watched.start, watched.meant(FIGURES["Versions that serve"]))
    named = [each["metric"]["version"] for each in found if "model_name" in each["metric"]]
    assert sorted(named) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "variable",
    [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"],
    ids=lambda variable: variable["name"],
)
def test_every_choice_at_the_top_has_something_to_choose(watched, variable):
    """Grafana asks for the labels of series."""
    series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
    assert variable["query"]["query"] == variable["definition"]
    found = watched.prometheus.ask(
        f"label/{label}/values", **{"match[]": watched.meant(series), "start": watched.start}
    )
    expected = {"job": 1, "model": 1, "instance": 2}[variable["name"]]
    assert len(found) == expected


def rules(kind: str) -> list[dict[str, str]]:
    groups = [
        group
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((SHIPPED / name).read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_every_recording_rule_has_data(watched, rule):
    """A rule without data would prevent its alert."""
    assert watched.values(rule["record"])


# A selector with its labels; no label's value has a brace.
SELECTOR = re.compile(
    r"\b(?:up|(?:predictor_|process_|model_prediction:|model_feature:)[a-z_:0-9]+)\b(?:\{[^}]*\})?"
)


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_whatever_an_alert_looks_at_is_there(watched, rule):
    """A misspelt name or label would prevent an alert forever."""
    selectors = set(SELECTOR.findall(rule["expr"]))
    assert selectors
    for selector in selectors:
        assert watched.values(selector), selector


def test_alerts_fire_for_what_happened_and_for_nothing_else(watched):
    """As Prometheus itself has them, over the whole day."""
    fired = {
        series["metric"]["alertname"]
        for series in watched.prometheus.since(watched.start, 'ALERTS{alertstate="firing"}')
    }
    assert fired >= PROVOKED
    assert not fired & SILENT


def test_no_rule_failed(watched):
    """As Prometheus itself tells: every rule was evaluated without an error."""
    groups = watched.prometheus.ask("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(rules("record")) + len(rules("alert"))
    assert [rule["name"] for rule in found if rule["health"] != "ok"] == []


def test_prometheus_needs_its_key(watched):
    """Nobody else reads what it reads."""
    targets = watched.prometheus.ask("targets")["activeTargets"]
    (up,) = [each["scrapeUrl"] for each in targets if each["health"] == "up"]
    assert httpx.get(up).status_code == 401
