"""The policy: every reason for yes and no, as a table."""

from dataclasses import replace

import pytest

from trainer.gates import parse_gates
from trainer.promotion import Facts, Policy, judge_promotion

METRICS = {"test_roc_auc": 0.990, "test_sensitivity": 0.950, "test_cost": 12.0}
CHAMPION = Facts("1", "passed", METRICS, "d1")
EQUAL = replace(CHAMPION, version="2")
DEFAULT = Policy()
REGRESSION = {"test_rmse": 100.0, "test_mae": 50.0}
OLD_REGRESSOR = Facts("1", "passed", REGRESSION, "d1", "regression")
CLASSES = {"test_roc_auc": 0.9, "test_f1": 0.8}
OLD_OF_SEVERAL = Facts("1", "passed", CLASSES, "d1", "multiclass")
NO_METRICS = (
    "its run has no metrics; `exporters.log_model(…, y=Y)` logs them, "
    "and so does MLflow's `log_metric`"
)
NO_DIGEST = (
    "version 2 has no tag dataset_digest, which says what its metrics were measured on; "
    "--different-data allows it"
)
UNDECIDED = (
    "the name test_cost does not say whether lower or higher is better; "
    "add :lower or :higher, as in test_cost:0.5:lower"
)
OTHER_DATASET = (
    "measured on dataset d2, the champion on d1, so the metrics do not compare; "
    "--different-data allows it"
)
OTHER_DATA = Policy(different_data=True)


def gated(*gates):
    return Policy(parse_gates(gates))


def with_metrics(facts=EQUAL, **metrics):
    """The facts with other metrics; None removes one."""
    merged = {**facts.metrics, **{f"test_{name}": value for name, value in metrics.items()}}
    return replace(
        facts, version="2", metrics={n: value for n, value in merged.items() if value is not None}
    )


def champion_with(**metrics):
    return replace(with_metrics(CHAMPION, **metrics), version="1")


ALLOWED = {
    "as good as the champion": (EQUAL, CHAMPION, DEFAULT),
    "better": (with_metrics(roc_auc=0.999, sensitivity=1.0), CHAMPION, DEFAULT),
    "ROC-AUC lower by exactly the tolerance": (with_metrics(roc_auc=0.985), CHAMPION, DEFAULT),
    "sensitivity lower by exactly the tolerance": (
        with_metrics(sensitivity=0.94),
        CHAMPION,
        DEFAULT,
    ),
    "lower, within a wider tolerance": (
        with_metrics(roc_auc=0.9, sensitivity=0.8),
        CHAMPION,
        gated("test_roc_auc:0.1", "test_sensitivity:0.2"),
    ),
    "no champion, and however low": (
        with_metrics(roc_auc=0.5, sensitivity=0.1),
        None,
        DEFAULT,
    ),
    "other data, allowed": (replace(EQUAL, dataset_digest="d2"), CHAMPION, OTHER_DATA),
    "unknown data, allowed": (replace(EQUAL, dataset_digest=None), CHAMPION, OTHER_DATA),
    "the champion's data unknown, allowed": (
        EQUAL,
        replace(CHAMPION, dataset_digest=None),
        OTHER_DATA,
    ),
    "a regressor whose errors are higher by exactly the tolerance": (
        with_metrics(OLD_REGRESSOR, rmse=102, mae=51),
        OLD_REGRESSOR,
        DEFAULT,
    ),
    "one of several classes, lower by exactly the tolerance": (
        with_metrics(OLD_OF_SEVERAL, roc_auc=0.895, f1=0.79),
        OLD_OF_SEVERAL,
        DEFAULT,
    ),
    "a metric that the policy names, and no other": (
        with_metrics(roc_auc=None, sensitivity=None, cost=12.5),
        CHAMPION,
        gated("test_cost:0.5:lower"),
    ),
    "of a task without defaults, by a metric that the policy names": (
        replace(with_metrics(silhouette_score=0.5), task="clustering"),
        champion_with(silhouette_score=0.5),
        gated("test_silhouette_score:0.01"),
    ),
    "the champion's parity does not matter": (EQUAL, replace(CHAMPION, parity=None), DEFAULT),
}

REFUSED = {
    "parity failed": (
        (replace(EQUAL, parity="failed"), CHAMPION, DEFAULT),
        ["parity of version 2 is 'failed'"],
    ),
    "no parity report": (
        (replace(EQUAL, parity=None), CHAMPION, DEFAULT),
        ["version 2 has no parity report, so its ONNX is unproven"],
    ),
    "no parity report and no champion": (
        (replace(EQUAL, parity=None), None, DEFAULT),
        ["version 2 has no parity report, so its ONNX is unproven"],
    ),
    "ROC-AUC just below the tolerance": (
        (with_metrics(roc_auc=0.9849), CHAMPION, DEFAULT),
        ["test_roc_auc 0.9849 is below the champion's 0.99 by more than 0.005"],
    ),
    "sensitivity just below the tolerance": (
        (with_metrics(sensitivity=0.9399), CHAMPION, DEFAULT),
        ["test_sensitivity 0.9399 is below the champion's 0.95 by more than 0.01"],
    ),
    "any loss, with no tolerance": (
        (with_metrics(roc_auc=0.98999), CHAMPION, gated("test_roc_auc:0", "test_sensitivity:0.01")),
        ["test_roc_auc 0.98999 is below the champion's 0.99 by more than 0"],
    ),
    "numbers that differ in the seventh digit": (
        (with_metrics(cost=1234568), champion_with(cost=1234567), gated("test_cost:0:lower")),
        ["test_cost 1234568 is above the champion's 1234567 by more than 0"],
    ),
    "better ROC-AUC does not excuse lower sensitivity": (
        (with_metrics(roc_auc=1.0, sensitivity=0.5), CHAMPION, DEFAULT),
        ["test_sensitivity 0.5 is below the champion's 0.95 by more than 0.01"],
    ),
    "no ROC-AUC": (
        (with_metrics(roc_auc=None), CHAMPION, DEFAULT),
        ["version 2 has no test_roc_auc; its run has test_cost, test_sensitivity"],
    ),
    "ROC-AUC is not a number": (
        (with_metrics(roc_auc=float("nan")), CHAMPION, DEFAULT),
        ["test_roc_auc of version 2 is nan"],
    ),
    "sensitivity is infinite": (
        (with_metrics(sensitivity=float("inf")), CHAMPION, DEFAULT),
        ["test_sensitivity of version 2 is inf"],
    ),
    "no metrics and no champion": (
        (replace(EQUAL, metrics={}), None, DEFAULT),
        [
            f"version 2 has no test_roc_auc; {NO_METRICS}",
            f"version 2 has no test_sensitivity; {NO_METRICS}",
        ],
    ),
    "the champion has no metrics": (
        (EQUAL, champion_with(roc_auc=None, sensitivity=float("nan")), DEFAULT),
        [
            "champion 1 has no test_roc_auc to compare with",
            "test_sensitivity of champion 1 is nan",
        ],
    ),
    "neither has a ROC-AUC": (
        (with_metrics(roc_auc=None), champion_with(roc_auc=None), DEFAULT),
        [
            "version 2 has no test_roc_auc; its run has test_cost, test_sensitivity",
            "champion 1 has no test_roc_auc to compare with",
        ],
    ),
    "other data": (
        (replace(EQUAL, dataset_digest="d2"), CHAMPION, DEFAULT),
        [OTHER_DATASET],
    ),
    "unknown data": (
        (replace(EQUAL, dataset_digest=None), CHAMPION, DEFAULT),
        [NO_DIGEST],
    ),
    "unknown data and no champion": (
        (replace(EQUAL, dataset_digest=None), None, DEFAULT),
        [NO_DIGEST],
    ),
    "the champion's data unknown": (
        (EQUAL, replace(CHAMPION, dataset_digest=None), DEFAULT),
        ["champion 1 has no dataset digest to compare with"],
    ),
    "other data is allowed, worse is not": (
        (replace(with_metrics(roc_auc=0.5), dataset_digest="d2"), CHAMPION, OTHER_DATA),
        ["test_roc_auc 0.5 is below the champion's 0.99 by more than 0.005"],
    ),
    "everything at once": (
        (
            Facts("2", "failed", {"test_roc_auc": 0.5, "test_sensitivity": 0.5}, "d2"),
            CHAMPION,
            DEFAULT,
        ),
        [
            "parity of version 2 is 'failed'",
            "test_roc_auc 0.5 is below the champion's 0.99 by more than 0.005",
            "test_sensitivity 0.5 is below the champion's 0.95 by more than 0.01",
            OTHER_DATASET,
        ],
    ),
    "errors of a regressor above the tolerance": (
        (with_metrics(OLD_REGRESSOR, rmse=103, mae=52), OLD_REGRESSOR, DEFAULT),
        [
            "test_rmse 103 is above the champion's 100 by more than 2%",
            "test_mae 52 is above the champion's 50 by more than 2%",
        ],
    ),
    "one of several classes below the tolerance": (
        (with_metrics(OLD_OF_SEVERAL, f1=0.7), OLD_OF_SEVERAL, DEFAULT),
        ["test_f1 0.7 is below the champion's 0.8 by more than 0.01"],
    ),
    "a regressor where a classifier serves": (
        (with_metrics(replace(OLD_REGRESSOR, dataset_digest="d1")), CHAMPION, DEFAULT),
        [
            "champion 1 has no test_rmse to compare with",
            "champion 1 has no test_mae to compare with",
        ],
    ),
    "a metric that no version has": (
        (EQUAL, CHAMPION, gated("test_f2:0.1")),
        [
            "version 2 has no test_f2; its run has test_cost, test_roc_auc, test_sensitivity",
            "champion 1 has no test_f2 to compare with",
        ],
    ),
    "a cost that is higher": (
        (with_metrics(cost=13), CHAMPION, gated("test_cost:0.5:lower", "test_roc_auc:0.1")),
        ["test_cost 13 is above the champion's 12 by more than 0.5"],
    ),
    "a metric of which nobody knows the better direction": (
        (EQUAL, CHAMPION, gated("test_cost:0.5")),
        [UNDECIDED],
    ),
    "such a metric, without a champion": ((EQUAL, None, gated("test_cost:0.5")), [UNDECIDED]),
    "a misspelt name, which says nothing of a direction": (
        (EQUAL, None, gated("test_roc_aux:0.01")),
        ["version 2 has no test_roc_aux; its run has test_cost, test_roc_auc, test_sensitivity"],
    ),
    "a task without defaults": (
        (replace(EQUAL, task="clustering"), CHAMPION, DEFAULT),
        [
            (
                "the task 'clustering' has no default gates; choose metrics with --gate "
                "NAME:TOLERANCE[:lower|:higher]; "
                "its run has test_cost, test_roc_auc, test_sensitivity"
            )
        ],
    ),
    "nothing known": (
        (Facts("2", None, {}, None), CHAMPION, DEFAULT),
        [
            "version 2 has no parity report, so its ONNX is unproven",
            f"version 2 has no test_roc_auc; {NO_METRICS}",
            f"version 2 has no test_sensitivity; {NO_METRICS}",
            NO_DIGEST,
        ],
    ),
}


@pytest.mark.parametrize("asked", ALLOWED.values(), ids=ALLOWED.keys())
def test_allowed(asked):
    decision = judge_promotion(*asked)
    assert decision.allowed
    assert decision.refusals == ()
    assert len(decision.findings) >= 3


@pytest.mark.parametrize(("asked", "reasons"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_every_reason(asked, reasons):
    decision = judge_promotion(*asked)
    assert not decision.allowed
    assert list(decision.refusals) == reasons


def test_facts_come_from_the_version_and_its_run():
    tags = {"parity": "passed", "dataset_digest": "d1", "seed": "0"}
    metrics = {"test_roc_auc": 0.99, "test_sensitivity": 0.95, "test_accuracy": 0.9}
    assert Facts.read("1", tags, metrics) == Facts("1", "passed", metrics, "d1", "binary")
    assert Facts.read("1", {"task": "regression"}, {}) == Facts("1", None, {}, None, "regression")


def test_a_reason_lists_only_so_many_metrics_and_those_of_the_test_rows_first():
    many = {f"cv_{number:02}": 0.5 for number in range(20)} | {"test_a": 0.5}
    decision = judge_promotion(replace(EQUAL, metrics=many), None, gated("test_f1:0.1"))
    (reason,) = decision.refusals
    assert "its run has test_a, cv_00, cv_01," in reason
    assert reason.endswith("cv_10 and 9 more")
