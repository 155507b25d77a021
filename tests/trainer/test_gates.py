"""Gates: how they are written, which direction is better, and what they allow."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from trainer.errors import GateError
from trainer.gates import (
    DEFAULTS,
    Gate,
    GateChange,
    gate_changes,
    gate_tags,
    is_error,
    parse_gates,
    stored_gates,
)

READ = {
    "test_roc_auc:0.01": Gate("test_roc_auc", 0.01),
    "test_roc_auc:0": Gate("test_roc_auc", 0),
    " test_f1 : .5 ": Gate("test_f1", 0.5),
    "test_rmse:1e3": Gate("test_rmse", 1000, lower_is_better=True),
    "test_rmse:2%": Gate("test_rmse", 0.02, relative=True, lower_is_better=True),
    "test_rmse:2.5 %:lower": Gate("test_rmse", 0.025, relative=True, lower_is_better=True),
    "test_cost:5:lower": Gate("test_cost", 5, lower_is_better=True),
    "test_cost:5:HIGHER": Gate("test_cost", 5),
    "test_log_loss:0.1:higher": Gate("test_log_loss", 0.1),
    "test_cost:5": Gate("test_cost", 5, lower_is_better=None),
    "group: a/recall:0.1": Gate("group: a/recall", 0.1),
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ.keys())
def test_a_gate_is_read_and_stored_without_loss(text, expected):
    gate = Gate.parse(text)
    assert gate == expected
    assert Gate.parse(str(gate)) == gate
    assert stored_gates({"owner": "ann", **gate_tags((gate,))}) == (gate,)


REFUSED = {
    "": "it is not NAME:TOLERANCE",
    "test_roc_auc": "it is not NAME:TOLERANCE",
    ":0.1": "it is not NAME:TOLERANCE",
    "test_rmse:lower": "it is not NAME:TOLERANCE",
    "test_roc_auc:": "'' is not a tolerance such as 0.01 or 2%",
    "test_roc_auc:0,01": "'0,01' is not a tolerance",
    "test_roc_auc:-0.01": "must not be negative",
    "test_roc_auc:nan": "'nan' is not a tolerance",
    "test_roc_auc:inf": "'inf' is not a tolerance",
    "test_roc_auc:1e999": "'1e999' is not a tolerance",
    "test_roc_auc:%": "'%' is not a tolerance",
    "test_roc_auc:0.01:down": "'down' is not a tolerance",
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.items(), ids=REFUSED.keys())
def test_an_invalid_gate_is_refused_with_the_reason(text, problem):
    with pytest.raises(GateError) as refused:
        Gate.parse(text)
    assert str(refused.value).startswith(f"the gate {text!r} is invalid: ")
    assert problem in str(refused.value)


def test_two_gates_for_one_metric_are_refused():
    with pytest.raises(GateError, match="another gate for test_f1"):
        parse_gates(["test_f1:0.1", "test_roc_auc:0.1", "test_f1:0.2"])


LOWER = [
    "test_rmse",
    "test_mae",
    "test_log_loss",
    "test_brier_score",
    "RMSE",
    "Logloss",
    "binary_logloss",
    "multi_error",
    "validation_0-mlogloss",
    "mean_absolute_percentage_error",
    "max_error",
    "test_median_absolute_error",
    "brier_score_loss",
    "root_mean_squared_error",
    "false_positives",
    "l2",
    "mean_tweedie_deviance",
    "RootMeanSquaredError",
    "hamming_loss",
    "test_false_negative_rate",
]
HIGHER = [
    "test_roc_auc",
    "test_sensitivity",
    "test_f1",
    "accuracy_score",
    "r2_score",
    "test_r2",
    "neg_mean_squared_error",
    "d2_log_loss_score",
    "average_precision",
    "balanced_accuracy",
    "AUC",
    "true_positives",
    "matthews_corrcoef",
    "training_score",
    "precision_recall_auc",
    "test_sensitivity_versicolor",
    "f1_macro",
]
UNKNOWN = ["test_cost", "rows", "test_seconds", "", "size_in_bytes"]


@pytest.mark.parametrize("metric", LOWER)
def test_the_name_of_an_error_says_that_lower_is_better(metric):
    assert is_error(metric) is True


@pytest.mark.parametrize("metric", HIGHER)
def test_the_name_of_a_score_says_that_higher_is_better(metric):
    assert is_error(metric) is False


@pytest.mark.parametrize("metric", UNKNOWN)
def test_another_name_says_nothing(metric):
    assert is_error(metric) is None


PASSES = [
    ("test_f1:0.1", 0.4, 0.5, True),
    ("test_f1:0.1", 0.39, 0.5, False),
    ("test_f1:0", 0.5, 0.5, True),
    ("test_rmse:0.1", 0.6, 0.5, True),
    ("test_rmse:0.1", 0.61, 0.5, False),
    ("test_rmse:0.1", 0.1, 0.5, True),
    ("test_rmse:2%", 1.02e9, 1e9, True),
    ("test_rmse:2%", 1.03e9, 1e9, False),
    ("test_rmse:2%", 0.1, 0, False),
    ("test_r2:50%", -3, -2, True),
    ("test_r2:50%", -3.1, -2, False),
]


@pytest.mark.parametrize(("text", "value", "champion", "passes"), PASSES)
def test_what_a_tolerance_allows(text, value, champion, passes):
    assert Gate.parse(text).passes(value, champion) is passes


def test_the_best_value_comes_first_and_a_missing_one_last():
    values = [None, 0.5, float("nan"), 0.1, 0.9]
    assert sorted(values, key=Gate.parse("test_f1:0").sort_key)[:3] == [0.9, 0.5, 0.1]
    assert sorted(values, key=Gate.parse("test_mae:0").sort_key)[:3] == [0.1, 0.5, 0.9]


@pytest.mark.parametrize("gates", DEFAULTS.values(), ids=DEFAULTS.keys())
def test_stored_gates_have_the_headline_metric_first(gates):
    extra = (Gate.parse("test_accuracy:0.1"), *gates)
    assert stored_gates(gate_tags(extra))[0] == gates[0]


def test_a_tag_that_is_no_gate_is_refused_and_says_how_to_replace_it():
    with pytest.raises(GateError, match="tag of the registered model, which `python -m trainer"):
        stored_gates({"gate.test_f1": "much"})


def test_a_change_is_recorded_and_read_without_loss():
    moment = datetime(2026, 11, 29, 12, tzinfo=UTC)
    change = GateChange(moment, "ann", "stricter", "", "test_f1:0.01")
    later = replace(change, when=moment + timedelta(seconds=1), before="test_f1:0.01", after="")
    tags = {each.tag_key: each.tag_value for each in (later, change)}
    others = {"gate.test_f1": "0.01", "hotswap.gates.20261129": "{}", "hotswap.gates.x": "no JSON"}
    assert gate_changes(tags | others) == [change, later]
