"""The operating point: the chosen threshold, its counts, and what the service makes of it."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from exporters.export import export
from exporters.metadata import Settings
from tests.predictor.parts import servable_of
from trainer.intervals import Proportion
from trainer.operating_point import Counts, GreyZone, choose, threshold


@pytest.fixture(scope="module")
def split():
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    labels = np.where(target == 0, "malignant", "benign")
    return train_test_split(features, labels, test_size=0.2, stratify=labels, random_state=1)


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


class TestThreshold:
    def test_it_is_midway_below_the_last_case_that_it_must_find(self):
        """Four of five cases: the fourth has 0.5, and the next lower row 0.25."""
        scores = np.array([0.9, 0.8, 0.7, 0.5, 0.1, 0.25, 0.6])
        cases = np.array([True, True, True, True, True, False, False])
        assert threshold(scores, cases, 0.8) == 0.375
        assert threshold(scores, cases, 0.81) == pytest.approx(0.05)
        assert threshold(scores, cases, 1) == pytest.approx(0.05)
        assert threshold(scores, cases, 0.01) == pytest.approx(0.85)

    scores = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40).filter(
        lambda rows: any(positive for _, positive in rows)
    )

    @given(scores, st.floats(0.01, 1))
    def test_it_is_the_largest_that_reaches_the_sensitivity(self, rows, sensitivity):
        """It finds enough, is a float32 value, and one case fewer would not be enough."""
        probability, positive = np.array([p for p, _ in rows]), np.array([c for _, c in rows])
        found = threshold(probability, positive, sensitivity)
        assert found == float(np.float32(found))
        counts = Counts.of(found, probability, positive)
        assert counts.found.share >= sensitivity - 1e-9
        served = probability.astype(np.float32)
        lowest = served[positive & (served >= found)].min()
        higher = Counts.of(float(np.nextafter(lowest, np.float32(2))), probability, positive)
        assert higher.found.share < sensitivity

    @given(st.integers(0, 2**23), st.integers(1, 4))
    def test_neighbouring_scores_stay_apart(self, bits, steps):
        """However near the next row is, no rounding puts it above."""
        low = np.float32(0.5) + np.float32(bits) * np.float32(2**-24) / 2
        high = low
        for _ in range(steps):
            high = np.nextafter(high, np.float32(2))
        found = threshold(np.array([high, low]), np.array([True, False]), 1)
        assert low < found <= high

    def test_a_share_of_a_round_number_of_cases(self):
        """0.98 of 50 cases is 49, whatever float64 makes of the product."""
        scores = np.linspace(0.02, 1, 50)
        for cases in (50, 100, 200):
            scores = np.linspace(0.02, 1, cases)
            found = threshold(scores, np.ones(cases, bool), 0.98)
            assert (scores >= found).sum() == cases * 98 // 100

    def test_a_case_without_any_chance(self):
        """The threshold is 0: every row is a case."""
        assert threshold(np.array([0.0, 0.3]), np.array([True, False]), 1) == 0

    @pytest.mark.parametrize("sensitivity", [0, -0.1, 1.1, math.nan])
    def test_an_impossible_sensitivity_is_refused(self, sensitivity):
        """With the range."""
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            threshold(np.array([0.5]), np.array([True]), sensitivity)


class TestGreyZone:
    def test_cases_below_the_threshold_are_in_it(self):
        """It begins where 99 % of the cases are found, and ends below the threshold."""
        cases = np.concatenate([np.linspace(0.5, 1, 194), [0.4, 0.3, 0.25, 0.2], [0.01, 0.02]])
        others = np.array([0.0, 0.1, 0.21, 0.3, 0.6])
        scores = np.concatenate([cases, others])
        positive = np.arange(len(scores)) < len(cases)
        zone = GreyZone.of(0.45, scores, positive)
        assert zone == GreyZone(
            pytest.approx(0.15), 0.45, Proportion(4, 200), Proportion(2, 5), positives_below=2
        )
        entry = json.loads(json.dumps(zone.as_evidence(), allow_nan=False))
        assert (entry["positives"], entry["of_positives"], entry["positives_below"]) == (4, 200, 2)

    def test_without_a_case_below_the_threshold_there_is_none(self):
        """Then nothing below the threshold is less sure than the rest."""
        scores, positive = np.array([0.9, 0.8, 0.1]), np.array([True, True, False])
        assert GreyZone.of(0.45, scores, positive) is None
        assert GreyZone.of(0.85, scores, positive).positives == Proportion(1, 2)


class TestCounts:
    def test_the_lowest_case(self):
        """As the service rounds it; None without a case."""
        scores, positive = np.array([0.9, 0.1, 0.05]), np.array([True, True, False])
        assert Counts.of(0.5, scores, positive).lowest == float(np.float32(0.1))
        assert Counts.of(0.5, scores, np.zeros(3, bool)).lowest is None

    def test_the_sentence(self):
        """Counts, interval and false alarms."""
        counts = Counts(Proportion(41, 42), Proportion(0, 72))
        assert str(counts) == "41 of 42 found, 95 % interval 88 to 99.6 %; 0 of 72 false alarms"

    def test_no_rows_of_a_kind(self):
        """Nothing is known, and nothing is divided by zero."""
        counts = Counts.of(0.5, np.array([0.2, 0.9]), np.array([False, False]))
        assert counts.found.interval == (0, 1)
        assert str(counts) == "0 of 0 found, 95 % interval 0 to 100 %; 1 of 2 false alarms"
        json.dumps(counts.as_evidence(), allow_nan=False)


class TestChoose:
    def test_it_is_chosen_out_of_fold_and_measured_on_held_out_rows(self, split, pipeline):
        """At least the stated share of the training cases; the same rows and seed choose the same."""
        train, test, actual, held_out = split
        point = choose(pipeline, train, actual, "malignant", sensitivity=0.98, seed=3)
        assert point == choose(pipeline, train, actual, "malignant", sensitivity=0.98, seed=3)
        assert point.out_of_fold.found.of == (actual == "malignant").sum()
        assert point.out_of_fold.found.share >= 0.98
        assert not hasattr(pipeline[-1], "coef_")  # it was not fitted itself
        fitted = pipeline.fit(train, actual)
        probability = fitted.predict_proba(test)[:, 1]
        measured = point.measured(probability, held_out)
        above = probability.astype(np.float32) >= point.threshold
        assert measured.held_out.found.count == (above & (held_out == "malignant")).sum()
        assert measured.held_out.false_alarms.count == (above & (held_out == "benign")).sum()
        assert measured.threshold == point.threshold

    def test_a_higher_sensitivity_lowers_the_threshold(self, split, pipeline):
        """And finds more, with more false alarms."""
        train, _, actual, _ = split
        low, high = (
            choose(pipeline, train, actual, "malignant", sensitivity=each) for each in (0.9, 1)
        )
        assert high.threshold < low.threshold
        assert high.out_of_fold.found.share == 1
        assert high.out_of_fold.false_alarms.count > low.out_of_fold.false_alarms.count

    @pytest.mark.parametrize("labels", [[0, 1], [False, True], ["no", "yes"], ["ä", "ß"]])
    def test_any_labels(self, labels):
        """Integers, booleans and texts; the entry has the label as JSON has it."""
        random = np.random.default_rng(0)
        target = np.arange(60) % 3 == 0
        features = pd.DataFrame({"x": random.normal(size=60) + target})
        actual = np.array(labels)[target.astype(int)]
        for positive in labels:
            point = choose(LogisticRegression(), features, actual, positive, sensitivity=0.9)
            entry = json.loads(json.dumps(point.as_metadata(), allow_nan=False))
            assert entry["class"] == positive
            assert type(entry["class"]) is type(positive)
            assert point.out_of_fold.found.of == (actual == positive).sum()

    def test_few_rows_of_a_class(self):
        """There are fewer folds; one row is not enough."""
        features, actual = np.arange(12.0).reshape(-1, 1), np.array(["a"] * 9 + ["b"] * 3)
        assert choose(LogisticRegression(), features, actual, "b").folds == 3
        with pytest.raises(ValueError, match="needs two rows of each class"):
            choose(LogisticRegression(), features[:10], actual[:10], "b")
        with pytest.raises(ValueError, match="needs two rows of each class"):
            choose(LogisticRegression(), features, actual, "c")


def test_metrics_and_metadata(split, pipeline):
    """Metrics are numbers; the entry has class, threshold, and how the threshold was chosen and measured."""
    train, test, actual, held_out = split
    point = choose(pipeline, train, actual, "malignant", sensitivity=0.98)
    assert set(point.metrics()) == {
        "operating_point_threshold", "operating_point_target_sensitivity",
    }  # fmt: skip
    assert "held_out" not in point.as_metadata()
    probability = pipeline.fit(train, actual).predict_proba(test)[:, 1]
    measured = point.measured(probability, held_out)
    metrics = measured.metrics()
    assert metrics["operating_point_positives"] == (held_out == "malignant").sum()
    assert metrics["operating_point_negatives"] == (held_out == "benign").sum()
    assert metrics["operating_point_sensitivity_low"] < metrics["operating_point_sensitivity"]
    entry = json.loads(json.dumps(measured.as_metadata(), allow_nan=False))
    assert (entry["class"], entry["threshold"]) == ("malignant", point.threshold)
    assert entry["target_sensitivity"] == 0.98
    assert entry["held_out"]["found"] == metrics["operating_point_found"]
    assert entry["held_out"]["summary"] == str(measured.held_out)
    lowest = np.float32(probability[held_out == "malignant"].min())
    assert entry["held_out"]["lowest_positive"] == lowest
    zone = entry["grey_zone"]
    assert zone["low"] < zone["high"] == point.threshold
    missed = entry["out_of_fold"]["positives"] - entry["out_of_fold"]["found"]
    assert zone["positives"] + zone["positives_below"] == missed
    assert str(measured).startswith("malignant from 0.")


ROWS = 240


def table_of(labels):
    """Numbers, a category and a gap; the second label is the rarer one, and hard to tell."""
    random = np.random.default_rng(4)
    positive = np.arange(ROWS) % 4 == 0
    frame = pd.DataFrame(
        {
            "weight": random.normal(size=ROWS) + 1.5 * positive,
            "age": np.where(np.arange(ROWS) % 7 == 0, np.nan, random.normal(size=ROWS)),
            "ward": np.where(random.random(ROWS) < 0.3 + 0.4 * positive, "north", "süd"),
        }
    )
    return frame, np.array(labels)[positive.astype(int)]


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"],
        *(pytest.param(each, marks=pytest.mark.whole) for each in ([0, 1], [False, True])),
    ],
    ids=str,
)
def test_the_service_decides_as_the_trainer_counted(tmp_path, labels):
    """From a mixed table to answers: of the held-out rows, as many are above as the evidence says."""
    frame, actual = table_of(labels)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["weight", "age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
    )
    pipeline = make_pipeline(prepare, RandomForestClassifier(random_state=0))
    train, test, known, held_out = train_test_split(frame, actual, random_state=0, stratify=actual)
    point = choose(pipeline, train, known, labels[1], sensitivity=0.9)
    pipeline.fit(train, known)
    point = point.measured(pipeline.predict_proba(test)[:, 1], held_out)
    settings = Settings(
        labels=known, positive_class=labels[1], further_rows=test,
        operating_point=point.as_metadata(),
    )  # fmt: skip
    servable = servable_of(tmp_path, export(pipeline, train, settings).content)
    records = json.loads(test.to_json(orient="records"))
    rows = [servable.decoder.record(json.dumps(each).encode()) for each in records]
    answers = [json.loads(body) for body in servable.encoder.each(servable.answer(rows))]
    above = np.array([each["operating_point"]["above"] for each in answers])
    evidence = servable.operating_point.evidence["held_out"]
    assert evidence["found"] == (above & (held_out == labels[1])).sum()
    assert evidence["false_alarms"] == (above & (held_out == labels[0])).sum()
    assert servable.operating_point.held_out.found == evidence["found"]
    assert servable.operating_point.grey_zone.high == point.threshold
    assert 0 < above.sum() < len(above)
    predictions = [each["prediction"] for each in answers]
    assert predictions == pipeline.predict(test).tolist()
    assert answers[0]["operating_point"]["class"] == labels[1]
