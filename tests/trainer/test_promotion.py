"""The policy: every reason for yes and no, as a table."""

from dataclasses import replace

import pytest

from trainer.promotion import Facts, Policy, judge_promotion

CHAMPION = Facts("1", "passed", 0.990, 0.950, "d1")
EQUAL = replace(CHAMPION, version="2")
DEFAULT = Policy()
OTHER_DATASET = (
    "measured on dataset d2, the champion on d1, so the metrics do not compare; "
    "--different-data allows it"
)
OTHER_DATA = Policy(different_data=True)

ALLOWED = {
    "as good as the champion": (EQUAL, CHAMPION, DEFAULT),
    "better": (replace(EQUAL, roc_auc=0.999, sensitivity=1.0), CHAMPION, DEFAULT),
    "ROC-AUC lower by exactly the tolerance": (replace(EQUAL, roc_auc=0.985), CHAMPION, DEFAULT),
    "sensitivity lower by exactly the tolerance": (
        replace(EQUAL, sensitivity=0.94),
        CHAMPION,
        DEFAULT,
    ),
    "lower, within a wider tolerance": (
        replace(EQUAL, roc_auc=0.9, sensitivity=0.8),
        CHAMPION,
        Policy(roc_auc_tolerance=0.1, sensitivity_tolerance=0.2),
    ),
    "no champion, and however low": (
        replace(EQUAL, roc_auc=0.5, sensitivity=0.1),
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
        (replace(EQUAL, roc_auc=0.9849), CHAMPION, DEFAULT),
        ["test_roc_auc 0.9849 is below the champion's 0.99 by more than 0.005"],
    ),
    "sensitivity just below the tolerance": (
        (replace(EQUAL, sensitivity=0.9399), CHAMPION, DEFAULT),
        ["test_sensitivity 0.9399 is below the champion's 0.95 by more than 0.01"],
    ),
    "any loss, with no tolerance": (
        (replace(EQUAL, roc_auc=0.98999), CHAMPION, Policy(roc_auc_tolerance=0)),
        ["test_roc_auc 0.98999 is below the champion's 0.99 by more than 0"],
    ),
    "better ROC-AUC does not excuse lower sensitivity": (
        (replace(EQUAL, roc_auc=1.0, sensitivity=0.5), CHAMPION, DEFAULT),
        ["test_sensitivity 0.5 is below the champion's 0.95 by more than 0.01"],
    ),
    "no ROC-AUC": (
        (replace(EQUAL, roc_auc=None), CHAMPION, DEFAULT),
        ["version 2 has no test_roc_auc"],
    ),
    "ROC-AUC is not a number": (
        (replace(EQUAL, roc_auc=float("nan")), CHAMPION, DEFAULT),
        ["version 2 has no test_roc_auc"],
    ),
    "sensitivity is infinite": (
        (replace(EQUAL, sensitivity=float("inf")), CHAMPION, DEFAULT),
        ["version 2 has no test_sensitivity"],
    ),
    "no metrics and no champion": (
        (replace(EQUAL, roc_auc=None, sensitivity=None), None, DEFAULT),
        ["version 2 has no test_roc_auc", "version 2 has no test_sensitivity"],
    ),
    "the champion has no metrics": (
        (EQUAL, replace(CHAMPION, roc_auc=None, sensitivity=float("nan")), DEFAULT),
        [
            "champion 1 has no test_roc_auc to compare with",
            "champion 1 has no test_sensitivity to compare with",
        ],
    ),
    "neither has a ROC-AUC": (
        (replace(EQUAL, roc_auc=None), replace(CHAMPION, roc_auc=None), DEFAULT),
        ["version 2 has no test_roc_auc", "champion 1 has no test_roc_auc to compare with"],
    ),
    "other data": (
        (replace(EQUAL, dataset_digest="d2"), CHAMPION, DEFAULT),
        [OTHER_DATASET],
    ),
    "unknown data": (
        (replace(EQUAL, dataset_digest=None), CHAMPION, DEFAULT),
        ["version 2 has no dataset digest"],
    ),
    "unknown data and no champion": (
        (replace(EQUAL, dataset_digest=None), None, DEFAULT),
        ["version 2 has no dataset digest"],
    ),
    "the champion's data unknown": (
        (EQUAL, replace(CHAMPION, dataset_digest=None), DEFAULT),
        ["champion 1 has no dataset digest to compare with"],
    ),
    "other data is allowed, worse is not": (
        (replace(EQUAL, dataset_digest="d2", roc_auc=0.5), CHAMPION, OTHER_DATA),
        ["test_roc_auc 0.5 is below the champion's 0.99 by more than 0.005"],
    ),
    "everything at once": (
        (Facts("2", "failed", 0.5, 0.5, "d2"), CHAMPION, DEFAULT),
        [
            "parity of version 2 is 'failed'",
            "test_roc_auc 0.5 is below the champion's 0.99 by more than 0.005",
            "test_sensitivity 0.5 is below the champion's 0.95 by more than 0.01",
            OTHER_DATASET,
        ],
    ),
    "nothing known": (
        (Facts("2", None, None, None, None), CHAMPION, DEFAULT),
        [
            "version 2 has no parity report, so its ONNX is unproven",
            "version 2 has no test_roc_auc",
            "version 2 has no test_sensitivity",
            "version 2 has no dataset digest",
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
    assert Facts.read("1", tags, metrics) == CHAMPION
    assert Facts.read("1", {}, {}) == Facts("1", None, None, None, None)
