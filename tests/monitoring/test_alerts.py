"""Every alert fires in the scenario made for it, and stays silent in all others."""

import re
import subprocess

import pytest
import yaml

from demo.processes import ROOT
from tests.monitoring.drift_scenarios import SCENARIOS as DRIFT
from tests.monitoring.series import (
    LAST,
    REPLICAS,
    SAMPLE_SECONDS,
    Scenario,
    always,
    from_minute,
    growing,
    named,
    until_minute,
)
from tests.required import program

PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()
RULES = [
    rule
    for file in ("recording.yml", "alerts.yml")
    for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]

SERVES = named("predictor_model_version")
DESIRED = named("predictor_desired")
FAILED = named("predictor_failed")
APPROVALS = named("predictor_approvals{")
REQUIRED = named("predictor_approvals_required")
EXPIRY = named("predictor_approvals_expiry")
INFO = named("predictor_model_info")
WORKERS = named("predictor_workers")
ANSWERED = named('predictor_registry_polls_total{outcome="answered"')
UNREACHABLE = named('predictor_registry_polls_total{outcome="unreachable"')
REFUSED = named('predictor_registry_polls_total{outcome="refused"')
LAST_WORD = named("predictor_registry_last")
OK = named('predictor_requests_total{endpoint="/predict",code="200"')
INVALID = named('predictor_requests_total{endpoint="/predict",code="422"')
FAULTS = named('predictor_requests_total{endpoint="/predict",code="500"')
TURNED_AWAY = named('predictor_requests_total{endpoint="other",code="503"')
FAST = named('predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.005"')
QUICK = named('predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.25"')
TIMED = named('predictor_request_duration_seconds_bucket{endpoint="/predict",le="+Inf"')
COUNTED = named("predictor_request_duration_seconds_count")
PROMPT = named('predictor_event_loop_lag_seconds_bucket{le="0.002"')
BENIGN_6 = named('predictor_predictions_total{model_version="6",prediction="benign"')
MALIGNANT_6 = named('predictor_predictions_total{model_version="6",prediction="malignant"')
BENIGN_7 = named('predictor_predictions_total{model_version="7",prediction="benign"')
MALIGNANT_7 = named('predictor_predictions_total{model_version="7",prediction="malignant"')

WAITS = named("predictor_record_waiting_seconds")
DROPPED = named('predictor_recorded_rows_total{outcome="dropped"')
SHADOW_FAILED = named("predictor_shadow_failed")
NO_RECORD = named('predictor_recorded_rows_total{outcome="refused"')

NOTHING = {SERVES: always(0), INFO: None, WORKERS: None, OK: always(0), FAULTS: growing(1500)}

SCENARIOS = [
    Scenario("all is well", {}),
    Scenario("no predictor is known", {"PredictorAbsent": 1}, gone=REPLICAS),
    Scenario(
        "a replica is down", {"PredictorDown": 1},
        gone=REPLICAS[:1], a={"up": from_minute(10, 1, 0)},
    ),
    Scenario(
        "a replica starts again and again", {"PredictorRestarts": 1},
        a={"process_start_time_seconds": "1000x20 1300x15 1525x15 1750x15 1975x100"},
    ),
    Scenario(
        "a replica was rolled out anew", {},
        a={"process_start_time_seconds": "1000x60 1900x100"},
    ),
    Scenario(
        "a worker was killed", {"PredictorWorkerRestarts": 1},
        a={"predictor_worker_restarts_total": from_minute(15, 0, 1)},
    ),
    Scenario(
        "a worker does not come back", {"PredictorWorkersMissing": 1},
        a={WORKERS: from_minute(15, 2, 1)},
    ),
    Scenario(
        "a version waits for approval", {"PredictorAwaitsApproval": 2},
        both={DESIRED: always(8), FAILED: always(8), APPROVALS: always(1)},
    ),
    Scenario("no approvals are required", {}, both={APPROVALS: always(0), REQUIRED: always(0)}),
    Scenario("the approvals end tomorrow", {"PredictorApprovalsEnd": 2}, both={EXPIRY: always(80_000)}),
    Scenario("the approvals end next week", {}, both={EXPIRY: always(600_000)}),
    Scenario("records are not written", {"PredictorRecordsWait": 1}, a={WAITS: growing(15)}),
    Scenario("a file of records waits for a minute", {}, a={WAITS: always(60)}),
    Scenario("the shadow has failed", {"PredictorShadowFailed": 1}, a={SHADOW_FAILED: from_minute(5, 0, 1)}),
    Scenario("the shadow is started again", {}, a={SHADOW_FAILED: "0x30 1x4 0x200"}),
    Scenario("records are dropped", {"PredictorRecordsDropped": 1}, a={DROPPED: from_minute(15, 0, 9)}),
    Scenario("requests are refused a record", {"PredictorRecordsDropped": 1}, a={NO_RECORD: from_minute(15, 0, 9)}),
    Scenario("the registry names none", {"PredictorServesNothing": 1}, both={**NOTHING, DESIRED: always(0)}),
    Scenario(
        "the only version cannot be loaded", {"PredictorServesNothing": 1, "PredictorLoadFails": 2},
        both={**NOTHING, FAILED: always(7)},
    ),
    Scenario("a replica serves nothing", {"PredictorReplicaServesNothing": 1}, a=NOTHING),
    Scenario("a replica has just started", {}, a={SERVES: from_minute(20, 0, 7)}, after=1),
    Scenario(
        "a promotion reaches nobody", {"PredictorVersionDiffers": 2},
        both={DESIRED: from_minute(10, 7, 8)},
    ),
    Scenario("a promotion is a minute old", {}, after=11, both={DESIRED: from_minute(10, 7, 8)}),
    Scenario(
        "a promotion reaches one of two", {"PredictorVersionDiffers": 1, "PredictorReplicasDisagree": 1},
        both={DESIRED: from_minute(10, 7, 8)}, a={SERVES: from_minute(10, 7, 8)},
    ),
    Scenario("none may serve, and the setting says go on", {}, both={DESIRED: always(0)}),
    Scenario(
        "a worker is behind", {"PredictorWorkersDisagree": 1},
        a={"predictor_swap_skew_seconds": f"0.04x40 0+{SAMPLE_SECONDS}x100"},
    ),
    Scenario(
        "a version has failed for a minute", {"PredictorLoadFails": 2}, after=11,
        both={DESIRED: from_minute(10, 7, 8), FAILED: from_minute(10, 0, 8)},
    ),
    Scenario(
        "a version goes on failing", {"PredictorLoadFails": 2, "PredictorVersionDiffers": 2},
        both={DESIRED: from_minute(10, 7, 8), FAILED: from_minute(10, 0, 8)},
    ),
    Scenario(
        "a version never ends on a record", {"PredictorInferenceTimesOut": 1},
        a={FAILED: from_minute(10, 0, 7), 'predictor_inference_timeouts_total{model_version="7"}': from_minute(10, 0, 1)},
    ),
    Scenario("a version failed once", {}, a={FAILED: "0x40 8x0 0x100"}, after=11),
    Scenario(
        "the registry is down", {"PredictorRegistryFails": 2}, after=15,
        both={
            ANSWERED: until_minute(10, 7), UNREACHABLE: f"0x40 0+7x{40 * 4}",
            LAST_WORD: until_minute(10, SAMPLE_SECONDS),
        },
    ),
    Scenario(
        "the registry stays down", {"PredictorRegistryFails": 2, "PredictorRegistryStale": 2}, after=30,
        both={
            ANSWERED: until_minute(10, 7), UNREACHABLE: f"0x40 0+7x{40 * 4}",
            LAST_WORD: until_minute(10, SAMPLE_SECONDS),
        },
    ),
    Scenario(
        "the registry refuses a replica", {"PredictorRegistryFails": 1}, after=15,
        a={
            ANSWERED: until_minute(10, 7), REFUSED: f"0x40 0+7x{40 * 4}",
            LAST_WORD: until_minute(10, SAMPLE_SECONDS),
        },
    ),
    Scenario(
        "nobody asks the registry any more", {"PredictorRegistryStale": 1}, after=30,
        a={ANSWERED: until_minute(10, 7), LAST_WORD: until_minute(10, SAMPLE_SECONDS)},
    ),
    Scenario("the registry fails now and then", {}, both={UNREACHABLE: growing(2)}),
    Scenario(
        "the cache cannot be written", {"PredictorCacheFails": 1},
        a={"predictor_cache_failures_total": from_minute(10, 0, 1)},
    ),
    Scenario(
        "webhooks have another secret", {"PredictorWebhooksRefused": 1},
        a={'predictor_webhook_deliveries_total{outcome="bad_signature"}': growing(1)},
    ),
    Scenario(
        "one webhook is refused", {},
        a={'predictor_webhook_deliveries_total{outcome="bad_signature"}': from_minute(10, 0, 1)},
    ),
    Scenario(
        "a replica has lost NATS", {"PredictorFleetDisconnected": 1},
        a={"predictor_fleet_connected": from_minute(10, 1, 0)},
    ),
    Scenario(
        "NATS was restarted", {},
        both={"predictor_fleet_connected": f"1x40 0x8 1x{LAST}"},
    ),
    Scenario("there is no NATS", {}, both={"predictor_fleet_connected": None}),
    Scenario("a file of keys is broken", {"PredictorKeysFail": 1}, a={"predictor_key_file_failures_total": growing(3)}),
    Scenario("one in fifty is answered with 500", {"PredictorErrors": 1}, a={FAULTS: growing(30)}),
    Scenario("one in thirty is turned away", {"PredictorErrors": 1}, a={TURNED_AWAY: growing(50)}),
    Scenario("three of ten fail", {}, a={OK: "0x70 7x100", INVALID: always(0), FAULTS: "0x70 3x100"}),
    Scenario("half of the records are refused", {"PredictorRefusals": 1}, a={INVALID: growing(1500)}),
    Scenario("the first ten records are wrong", {}, a={OK: always(0), INVALID: "0x70 10x100"}),
    Scenario("one in twenty is slow", {"PredictorSlow": 1}, a={FAST: growing(1440), QUICK: growing(1440)}),
    Scenario(
        "a few are slow", {}, a=dict.fromkeys((FAST, QUICK), always(0)) | dict.fromkeys((TIMED, COUNTED), growing(1)),
    ),
    Scenario("the loop is held up", {"PredictorLoopLag": 1}, a={PROMPT: growing(55)}),
    Scenario(
        "a version finds more malignant", {"PredictorPredictionShift": 2},
        both={BENIGN_7: growing(40), MALIGNANT_7: growing(60)},
    ),
    Scenario(
        "both versions find many malignant", {},
        both={BENIGN_6: until_minute(10, 20), BENIGN_7: growing(20)},
    ),
    Scenario(
        "a version has answered a few so far", {},
        both={BENIGN_7: "0x60 0+1x100", MALIGNANT_7: "0x60 0+5x100"},
    ),
    Scenario(
        "a version speaks another language", {"PredictorPredictionShift": 2},
        both={
            BENIGN_7: None, MALIGNANT_7: None,
            'predictor_predictions_total{model_version="7",prediction="gutartig"}': growing(60),
            'predictor_predictions_total{model_version="7",prediction="bösartig"}': growing(40),
        },
    ),
    Scenario(
        "a regression follows a regression", {},
        both={
            **dict.fromkeys((BENIGN_6, MALIGNANT_6, BENIGN_7, MALIGNANT_7)),
            'predictor_predictions_total{model_version="6",prediction="value"}': until_minute(10, 100),
            'predictor_predictions_total{model_version="7",prediction="value"}': growing(100),
        },
    ),
    Scenario("a replica's counts are full", {"PredictorCountsFull": 1}, a={"predictor_counts_full": always(1)}),
]  # fmt: skip


@pytest.mark.whole
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.story)
def test_each_scenario_fires_exactly_its_alerts(scenario, tmp_path):
    """And no other alert."""
    tests = tmp_path / "tests.yml"
    rules = [str(PROMETHEUS / name) for name in ("recording.yml", "alerts.yml")]
    spec = {"rule_files": rules, "evaluation_interval": "1m", "tests": [scenario.test()]}
    tests.write_text(yaml.safe_dump(spec, allow_unicode=True))
    promtool("test", "rules", str(tests))


def test_every_alert_has_a_scenario():
    """An alert without a scenario may never fire."""
    fired = {alert for scenario in (*SCENARIOS, *DRIFT) for alert in scenario.fires}
    assert fired == {alert["alert"] for alert in ALERTS}


@pytest.mark.whole
def test_the_rules_and_the_configuration_are_right(tmp_path):
    """As promtool reads them; the key's file is there only where Prometheus runs."""
    promtool("check", "rules", *(str(PROMETHEUS / f) for f in ("recording.yml", "alerts.yml")))
    key = tmp_path / "key"
    key.write_text("secret")
    config = (PROMETHEUS / "prometheus.yml").read_text()
    assert "/run/secrets/operations_key" in config
    for file in ("recording.yml", "alerts.yml"):
        (tmp_path / file).write_text((PROMETHEUS / file).read_text())
    copy = tmp_path / "prometheus.yml"
    copy.write_text(config.replace("/run/secrets/operations_key", str(key)))
    promtool("check", "config", str(copy))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_has_texts_and_a_runbook(rule):
    """Severity, summary, description and runbook."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
    section = RUNBOOKS.partition(f"\n## {rule['alert']}\n")[2].partition("\n## ")[0]
    for part in ("**It means**", "**Look at**", "**Do**"):
        assert part in section


def test_every_runbook_has_its_alert():
    """In the same order."""
    assert re.findall(r"^## (.+)$", RUNBOOKS, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def promtool(*arguments):
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
