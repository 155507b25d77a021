"""Drift raises its alerts, and what only looks like drift does not."""

import json
import subprocess

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, entropy

from tests.monitoring.drift_scenarios import (
    FEATURES,
    SCENARIOS,
    Hospital,
    fast_rules,
    ordinary_days,
    promtool_test,
    with_last_day,
)
from tests.required import environment, program


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The days before the scenarios'."""
    return ordinary_days(Hospital.opened(tmp_path_factory.mktemp("hospital")))


@pytest.mark.whole
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.story)
def test_each_scenario_fires_exactly_its_alerts(before, scenario, tmp_path):
    """For the features that changed, and for no other."""
    counters = with_last_day(before, scenario)
    promtool(tmp_path, promtool_test(counters, scenario, fast_rules(tmp_path)))


@pytest.mark.whole
def test_a_day_of_rows_against_scipy(tmp_path):
    """Each formula, in Prometheus and by scipy, for three distributions; one bin is empty."""
    training = [0, 100, 120, 80, 0, 5]
    days = {"same": [0, 1000, 1200, 800, 0, 50], "other": [7, 90, 150, 300, 20, 0]}
    expected = {}
    for feature, rows in days.items():
        q, p = (np.array(each) + 0.5 for each in (rows, training))
        q, p = q / q.sum(), p / p.sum()
        psi = entropy(p, q) + entropy(q, p)  # Jeffreys' divergence
        inverse = 1 / sum(rows) + 1 / sum(training)
        expected[feature] = {
            "psi1d": psi, "js1d": jensenshannon(p, q, base=2),
            "psi1d_excess": psi - chi2.mean(5) * inverse, "psi1d_error": chi2.std(5) * inverse,
        }  # fmt: skip
    where = 'job="predictor",model_version="1"'
    series = [
        {"series": 'predictor_model_version{job="predictor",model_name="m"}', "values": "1x3"}
    ]
    for feature, rows in days.items():
        for label, (now, then) in enumerate(zip(rows, training, strict=True)):
            labels = f'feature="{feature}",bin="{label}"'
            recorded = f'model_feature_bin:predictor_feature_rows:increase1d{{{where},model_name="m",{labels}}}'
            series.append({"series": recorded, "values": f"{now}x3"})
            gauge = f"predictor_feature_training_rows{{{where},{labels}}}"
            series.append({"series": gauge, "values": f"{then}x3"})
    checks = [
        {
            "expr": f'round(100000 * model_feature:predictor_feature_rows:{name}{{feature="{feature}"}})',
            "eval_time": "2m",
            "exp_samples": [
                {
                    "labels": f'{{{where},model_name="m",feature="{feature}",reference="training"}}',
                    "value": round(100_000 * value),
                }
            ],
        }
        for feature, values in expected.items()
        for name, value in values.items()
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    (rules, _) = fast_rules(tmp_path, without="increase")
    promtool(tmp_path, {"rule_files": [rules], "evaluation_interval": "1m", "tests": [test]})
    assert expected["same"]["psi1d_excess"] < 0.01
    assert expected["other"]["psi1d_excess"] > 0.3


def promtool(folder, spec):
    tests = folder / "tests.yml"
    tests.write_text(json.dumps(spec))
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(tests)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


EVIDENTLY = """
import json, os, sys
import pandas as pd
os.environ["DO_NOT_TRACK"] = "1"
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
before, now = (
    {name: pd.Series(labels) for name, labels in side.items()} for side in json.load(sys.stdin)
)
found = {}
for method in ("psi", "jensenshannon"):
    for name in before:
        definition = DataDefinition(categorical_columns=[name])
        sides = [Dataset.from_pandas(pd.DataFrame({name: side[name]}), definition) for side in (now, before)]
        metrics = Report([DataDriftPreset(cat_method=method)]).run(*sides).dict()["metrics"]
        (value,) = [each["value"] for each in metrics if "column" in each["config"]]
        found.setdefault(name, {})[method] = float(value)
print(json.dumps(found))
"""


@pytest.mark.whole
def test_the_same_rows_in_evidently(before):
    """Its index and its distance of the same bins, up to half a row in each."""
    hospital = before.hospital
    random = np.random.default_rng(11)
    (scanner,) = [each for each in SCENARIOS if "scanner" in each.story]
    sides = [hospital.rows(20_000, random), scanner.change(hospital.rows(20_000, random))]
    ends = np.cumsum([len(each.labels) for each in before.labelled])
    counts = [np.split(hospital.counts(rows), ends[:-1]) for rows in sides]
    labels = [
        {
            each.name: np.repeat(np.array(each.labels, object), of_feature).tolist()
            for each, of_feature in zip(before.labelled, side, strict=True)
            if each.name in FEATURES
        }
        for side in counts
    ]
    done = subprocess.run(
        [environment("drift"), "-W", "ignore", "-c", EVIDENTLY],
        input=json.dumps(labels), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for each, *both in zip(before.labelled, *counts, strict=True):
        if each.name in FEATURES:
            p, q = ((side + 0.5) / (side + 0.5).sum() for side in both)
            expected = {
                "psi": ((p - q) * np.log(p / q)).sum(),
                "jensenshannon": jensenshannon(p, q),
            }
            assert found[each.name] == pytest.approx(expected, rel=0.1, abs=0.003)
    assert found["mean_area"]["psi"] > 10 * found["age"]["psi"]
