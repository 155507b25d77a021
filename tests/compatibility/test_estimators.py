"""What docs/estimators.md says is proven, is proven."""

import json
import os
import re
import subprocess

import pytest

from compatibility import estimator_page
from compatibility.estimators import PAGE, chosen, results
from exporters.errors import ConversionError, RefusedStep
from tests.required import environment

# A change that proves fewer must say so here.
PROVEN = {"scikit-learn": 226, "LightGBM": 40, "XGBoost": 40, "CatBoost": 35}
_TREES = re.compile("Boosting|Boost|Tree|Forest|LGBM|XGB")


def proven_now(found):
    """The library, estimator and prediction of what is proven, and the message of what is refused."""
    by_case = {(each["library"], each["estimator"], each["predicts"]): each for each in found}
    good = {
        key for key, each in by_case.items() if each["outcome"] in {"exact", "within tolerance"}
    }
    return good, {key: each["reason"] for key, each in by_case.items() if key not in good}


def test_the_page_counts_as_many_proven_cases_as_here():
    published = estimator_page.proven(PAGE.read_text())
    for library, count in PROVEN.items():
        assert len([each for each in published if each[0] == library]) >= count


@pytest.mark.parametrize("kind", [NotImplementedError, RefusedStep])
def test_the_page_has_the_cause_of_a_refused_conversion_alone(kind):
    """Not the whole message, which names the step of the case."""
    refused = {
        "library": "L", "estimator": "E", "predicts": "a number", "outcome": "refused", "precision": "", "splits": 0,
        "reason": str(ConversionError("model (E)", kind("no (real) cause; use F"))),
    }  # fmt: skip
    assert "| L | E | a number | no (real) cause; use F |" in estimator_page.text([refused])


def test_no_trees_are_proven_without_their_splits():
    """A row without splits would show that they were overlooked."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if (
            len(cells) == 6
            and cells[2] in {"exact", "within tolerance"}
            and _TREES.search(cells[0])
        ):
            assert "SelectFromModel" in cells[0] or int(cells[5]) > 0, line


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_the_smaller_part_is_proven_as_the_page_says():
    found = [vars(each) for each in results(chosen(quick=True))]
    good, refused = proven_now(found)
    published = estimator_page.proven(PAGE.read_text())
    assert {key: reason for key, reason in refused.items() if key in published} == {}
    assert len(good) > 40


@pytest.mark.whole
@pytest.mark.timeout(1800)
def test_all_of_them_are_proven_as_the_page_says(tmp_path):
    """Also XGBoost and CatBoost, in the environment that has them."""
    command = [environment("models"), "-W", "ignore", "-m", "compatibility.estimators"]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    written = tmp_path / "results.json"
    subprocess.run(
        [*command, "--json", str(written)],
        cwd=PAGE.parent.parent,
        env={**os.environ, **threads},
        check=True,
    )
    good, refused = proven_now(json.loads(written.read_text()))
    published = estimator_page.proven(PAGE.read_text())
    assert {key: reason for key, reason in refused.items() if key in published} == {}
    for library, count in PROVEN.items():
        assert len([each for each in good if each[0] == library]) >= count


_LOG = """
import sys, mlflow, numpy as np
from compatibility.estimator_cases import cases
from exporters import log_model
mlflow.set_tracking_uri(sys.argv[1])
logged = set()
for case in cases():
    if case.estimator in {"LGBMClassifier", "XGBClassifier", "CatBoostClassifier", "XGBRegressor"}:
        if case.estimator not in logged:
            model, rows = case.fit()
            uri = log_model(model, rows).model_uri
            loaded = mlflow.pyfunc.load_model(uri).predict(rows)
            assert np.array_equal(np.ravel(loaded), np.ravel(model.predict(rows))), case
            assert "onnx" in mlflow.models.get_model_info(uri).flavors
            logged.add(case.estimator)
print(len(logged))
"""


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_each_library_s_flavour_is_logged_beside_the_graph(tmp_path):
    done = subprocess.run(
        [environment("models"), "-W", "ignore", "-c", _LOG, f"sqlite:///{tmp_path}/mlflow.db"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PAGE.parent.parent), "OMP_NUM_THREADS": "1"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "4"
