"""Beside the `shap` package, on scikit-learn's side of the models that the trainer makes.

It explains the fitted pipelines by code of its own, against the same background; ours only sees the
exported graphs.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from exporters.export import export
from exporters.metadata import Settings
from tests.predictor.parts import servable_of
from tests.predictor.protocols.explain.parts import adds_up, by_name, explained
from trainer.candidates import CATALOGUE
from trainer.data import load, split

POSITIVE = "malignant"
SIGMAS = 4.5  # of 60 differences at a time, none lies farther out but once in ten thousand runs

RUNS = 5


@pytest.fixture(scope="module")
def shap():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of matplotlib, for its colours
        import shap

    return shap


@pytest.fixture(scope="module")
def rows():
    return split(load())


@pytest.fixture
def versions(rows, tmp_path):
    """A function that fits a pipeline, and gives it with what serves it and the background [50, 30]."""

    def fit(pipeline):
        features, labels = rows.train.features, rows.train.target
        pipeline.fit(features, labels)
        exported = export(pipeline, features, Settings(labels, POSITIVE))
        servable = servable_of(tmp_path, exported.content)
        return pipeline, servable, np.array(servable.background)

    return fit


@pytest.fixture
def patients(rows):
    """Two records, one malignant and one that is not so clear; float64 [2, 30] with names."""
    return rows.test.features.iloc[[3, 40]]


def ours(servable, patients):
    """Contributions and their errors [2, 30], in the order of the features, and the answers."""
    answers = [explained(servable, record) for record in patients.to_dict("records")]
    assert all(map(adds_up, answers))
    names = list(patients.columns)
    said = [
        np.array([[by_name(answer, member)[name] for name in names] for answer in answers])
        for member in ("contribution", "standard_error")
    ]
    return *said, answers


def test_logistic_regression(shap, versions, patients):
    """Exact in log-odds, within what float32 rounds."""
    pipeline, servable, background = versions(CATALOGUE["logistic_regression"].build(0))
    scaler, classifier = pipeline[0], pipeline[-1]
    masker = shap.maskers.Independent(scaler.transform(named(background, patients)), max_samples=50)
    theirs = shap.LinearExplainer(classifier, masker)
    scaled = scaler.transform(patients)
    contributions, errors, answers = ours(servable, patients)
    assert {answer["explanation"]["method"] for answer in answers} == {"linear"}
    sign = 1 if classifier.classes_[1] == POSITIVE else -1
    np.testing.assert_allclose(contributions, sign * theirs.shap_values(scaled), atol=1e-4)
    assert not errors.any()
    for answer in answers:
        baseline = answer["explanation"]["baseline"]["value"]
        assert baseline == pytest.approx(sign * theirs.expected_value, abs=1e-4)


def test_random_forest(shap, versions, patients):
    """Beside exact values: `shap` follows the trees themselves."""
    forest = RandomForestClassifier(20, max_depth=5, random_state=0)
    pipeline, servable, background = versions(Pipeline([("classify", forest)]))
    theirs = shap.TreeExplainer(
        forest, data=background, feature_perturbation="interventional", model_output="probability"
    )
    column = list(pipeline.classes_).index(POSITIVE)
    exact = theirs.shap_values(patients.to_numpy())[:, :, column]
    contributions, errors, answers = ours(servable, patients)
    off = np.abs(contributions - exact)
    assert (off <= SIGMAS * errors + 1e-5).all()
    assert off.max() < 0.01
    assert np.abs(contributions).max() > 0.05
    assert answers[0]["explanation"]["baseline"]["value"] == pytest.approx(
        theirs.expected_value[column], abs=1e-5
    )


@pytest.mark.parametrize("name", ["support_vector_machine", "multilayer_perceptron"])
@pytest.mark.whole
def test_any_other_model(shap, name, versions, patients):
    """Beside another sampling, within what both may be off by."""
    pipeline, servable, background = versions(CATALOGUE[name].build(0))
    column = list(pipeline.classes_).index(POSITIVE)

    def probability(rows):
        return pipeline.predict_proba(named(rows, patients))[:, column]

    theirs = shap.SamplingExplainer(probability, background)
    record = patients.iloc[[1]]
    np.random.seed(7)  # noqa: NPY002  what it draws from
    runs = [theirs.shap_values(record.to_numpy(), nsamples=6_000, silent=True) for _ in range(RUNS)]
    contributions, errors, _ = ours(servable, record)
    expected = np.mean(runs, axis=0)
    spread = np.std(runs, axis=0, ddof=1) / np.sqrt(RUNS)
    # The spread of a few runs is itself uncertain: no feature's is taken to be below the mean one.
    both = np.sqrt(errors**2 + np.maximum(spread, spread.mean(axis=1, keepdims=True)) ** 2)
    assert (np.abs(contributions - expected) <= SIGMAS * both + 1e-5).all()
    assert np.abs(contributions).max() > 0.05


def named(rows, like):
    return pd.DataFrame(rows, columns=like.columns)
