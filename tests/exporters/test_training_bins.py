"""The bins of the training rows that an artifact has."""

import json
from dataclasses import asdict

import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest

from exporters.answers import Answers, PredictionKind
from exporters.export import export
from exporters.metadata import Settings
from exporters.table import read_table
from exporters.training_bins import feature_bins, score_bins
from predictor.model.training_bins import Bins


def of_column(values):
    (bins,) = feature_bins(read_table(pd.DataFrame({"a": values})))
    return bins


def answers(predictions, scores=None):
    predictions = np.asarray(predictions)
    return Answers(predictions, scores, None, np.zeros(len(predictions), bool))


def test_twenty_bins_have_equal_shares_and_an_edge_is_nobodys_value(rows):
    """Each row is in one bin; the edges have few digits and lie between two values."""
    for bins, name in zip(
        feature_bins(read_table(rows.train.features)), rows.train.features, strict=True
    ):
        values = rows.train.features[name].to_numpy(np.float32)
        assert sum(bins.counts) == len(values) == 455
        assert len(bins.edges) == 19
        assert max(bins.counts) <= 35 or len(np.unique(values)) < 455
        assert not set(np.float32(bins.edges)) & set(values)
        assert (bins.minimum, bins.maximum) == (values.min(), values.max())
        assert bins.missing == 0


def test_equal_values_stay_in_one_bin():
    bins = of_column([0] * 60 + [1] * 30 + [7] * 10)
    assert (bins.edges, bins.counts) == ([0.5, 4.0], [60, 30, 10])
    assert of_column([3.5] * 9).edges == []
    assert of_column([3.5] * 9).counts == [9]


def test_neighbouring_float32_values_have_an_edge():
    """No number lies between them: the edge is the lower one, which its bin includes."""
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    bins = of_column([float(low)] * 10 + [float(high)] * 10)
    assert (bins.edges, bins.counts) == ([1.0], [10, 10])


def test_a_value_that_does_not_fit_float32_is_in_no_bin():
    """The service refuses such numbers, so that no live row is in its bin; and JSON has no infinity."""
    bins = of_column([1.0, 1e39, 3.0, -1e300])
    assert (bins.counts, bins.missing) == ([1, 1], 0)
    assert (bins.minimum, bins.maximum) == (1, 3)
    assert of_column([1e39, -1e39]).counts == [0]


def test_missing_values_are_counted_apart():
    bins = of_column([1.0, np.nan, 3.0, np.nan])
    assert (bins.counts, bins.missing) == ([1, 1], 2)
    assert of_column([np.nan, np.nan]).counts == [0]


def test_frequent_categories_are_named_and_rare_ones_are_not():
    """A text that few rows have may be a person's name."""
    bins = of_column(["b"] * 7 + ["a"] * 9 + ["Ms Smith"] + [None] * 2)
    assert (bins.categories, bins.counts, bins.missing) == (["a", "b"], [9, 7, 1], 2)
    many = of_column([f"c{number:02}" for number in range(30) for _ in range(5)])
    assert len(many.categories) == 20
    assert many.counts == [5] * 20 + [50]
    assert of_column([True] * 6 + [False]).counts == [1, 6, 0]
    assert of_column(["x" * 81] * 9).categories == []


def test_scores_are_of_the_positive_class_of_the_largest_or_the_value():
    two = np.array([[0.2, 0.8], [0.9, 0.1]])
    kind = PredictionKind(True, True, ("no", "yes"))
    given = answers(["yes", "no"], two)
    found = score_bins(given, kind, "no", ["no", "yes"])
    assert (found.kind, found.of, found.rows) == ("probability", "no", "fitted")
    assert found.bins.maximum == pytest.approx(0.9)
    assert score_bins(given, kind, None, ["no", "yes"]).of == "yes"
    three = np.array([[0.2, 0.5, 0.3]])
    several = score_bins(
        answers(["b"], three), PredictionKind(True, True, ("a", "b", "c")), None, ["a", "b", "c"]
    )
    assert (several.kind, several.of, several.bins.maximum) == ("largest_probability", None, 0.5)
    assert score_bins(answers([1.5, 2.5]), PredictionKind(False, False), None, []).kind == "value"
    labels = score_bins(answers([1.0, -1.0] * 5), PredictionKind(True, False), None, [])
    assert (labels.kind, labels.bins.categories) == ("label", ["-1", "1"])
    assert score_bins(answers([[1.5, 2.5]]), PredictionKind(False, False), None, []) is None


def test_scores_of_rows_that_the_model_was_not_fitted_on_come_first():
    """The scores of fitted rows are no reference for others."""
    kind = PredictionKind(False, False)
    fitted, held_out = answers(np.zeros(300)), answers(np.arange(100.0))
    found = score_bins(fitted, kind, None, [], held_out=held_out)
    assert (found.rows, found.bins.maximum) == ("held_out", 99.0)
    few = score_bins(fitted, kind, None, [], held_out=answers(np.arange(99.0)))
    assert (few.rows, few.bins.maximum) == ("fitted", 0.0)
    two = PredictionKind(True, True, (0, 1))
    given = answers([0, 1], np.array([[1.0, 0.0], [0.0, 1.0]]))
    found = score_bins(given, two, "1", ["0", "1"], out_of_fold=np.array([0.25, 0.75]))
    assert (found.rows, found.bins.maximum) == ("out_of_fold", 0.75)


def test_the_bins_are_in_the_graph(fitted, rows):
    """With one entry for each feature, in order, and the scores."""
    train = rows.train
    settings = Settings(positive_class="malignant", further_rows=rows.test.features)
    exported = export(fitted("logistic_regression"), train.features, settings)
    props = onnx.load_from_string(exported.content).metadata_props
    (entry,) = [json.loads(each.value) for each in props if each.key == "training_bins"]
    assert [each["name"] for each in entry["features"]] == list(train.features)
    first = {
        name: v for name, v in asdict(feature_bins(exported.table)[0]).items() if v is not None
    }
    assert entry["features"][0] == first
    score = entry["score"]
    assert (score["kind"], score["of"], score["rows"]) == ("probability", "malignant", "held_out")
    assert sum(score["bins"]["counts"]) == len(rows.test.features)


@pytest.mark.parametrize(("held_out", "rows_are"), [(True, "held_out"), (False, "fitted")])
def test_the_exporter_says_whether_the_rows_were_fitted_on(fitted, rows, held_out, rows_are):
    """`log_model` takes rows with `y` for held-out ones, as its measurements do."""
    settings = Settings(positive_class="malignant", held_out=held_out)
    exported = export(fitted("logistic_regression"), rows.train.features, settings)
    props = onnx.load_from_string(exported.content).metadata_props
    (entry,) = [json.loads(each.value) for each in props if each.key == "training_bins"]
    assert entry["score"]["rows"] == rows_are


def test_the_service_accepts_bins_of_a_long_name():
    """A feature's name has no limit elsewhere, so it has none here."""
    (bins,) = feature_bins(read_table(pd.DataFrame({"a" * 10_000: [1.0, 2.0]})))
    read = msgspec.convert(asdict(bins), Bins)
    assert read.name == "a" * 10_000
