"""What an MLflow model's folder says of itself, and whether loading it can run code."""

import json
import subprocess

import mlflow
import pandas as pd
import pytest
import yaml
from lightgbm import LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV

from demo.processes import ROOT
from tests.required import environment
from trainer.errors import TrainerError
from trainer.model_files import differences, inspect, load, read_description

ROWS = pd.DataFrame({"a": range(40), "b": [0.5, 1.5] * 20})


@pytest.fixture
def save(tmp_path):
    """Save a model, then write other values into its MLmodel file; return what is found."""

    def save(model=None, flavour=mlflow.sklearn, forged=None, drop=(), **settings):
        folder = tmp_path / "model"
        model = model or LinearRegression().fit(ROWS, ROWS.b)
        flavour.save_model(model, str(folder), **{"pip_requirements": [], **settings})
        file = folder / "MLmodel"
        content = yaml.safe_load(file.read_text())
        for name, values in (forged or {}).items():
            content["flavors"].setdefault(name, {}).update(values)
        for name in drop:
            del content["flavors"][name]
        file.write_text(yaml.safe_dump(content))
        return inspect(folder, read_description(folder, "it"), "it")

    return save


def test_formats_that_run_no_code(save, tmp_path):
    model = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, ROWS.b > 1)
    trusted = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    files = save(model, serialization_format="skops", skops_trusted_types=trusted)
    assert (files.library, files.form, files.risks) == ("sklearn", "skops", ())
    assert (load(files, "it").predict(ROWS) == model.predict(ROWS)).all()


@pytest.mark.parametrize("form", ["skops", "cloudpickle", None])
def test_lightgbm_by_its_format(save, form):
    model = LGBMRegressor(n_estimators=2, min_child_samples=2, verbose=-1).fit(ROWS, ROWS.b)
    files = save(
        model if form else model.booster_,
        mlflow.lightgbm,
        **({"serialization_format": form} if form else {}),
    )
    assert files.form == (form or "LightGBM's text")
    assert bool(files.risks) == (form == "cloudpickle")
    assert load(files, "it").predict(ROWS).tolist() == model.predict(ROWS).tolist()


@pytest.mark.parametrize(
    ("forged", "risk"),
    [
        ({"sklearn": {"serialization_format": "pickle"}}, "is a pickle (pickle)"),
        ({"sklearn": {"serialization_format": "\x1b[2Jskops"}}, "is a pickle (?[2Jskops)"),
        ({"sklearn": {"serialization_format": None}}, "is a pickle"),
        ({"sklearn": {"code": "code"}}, "it brings Python code of its own (code/)"),
    ],
)
def test_what_is_not_known_as_safe_needs_trust(save, forged, risk):
    files = save(serialization_format="skops", forged=forged)
    assert any(risk in each for each in files.risks)


def test_the_class_of_xgboost_must_be_its_own(save):
    """MLflow imports and calls what MLmodel names."""
    forged = {"xgboost": {"model_class": "antigravity.anything", "data": "model.skops"}}
    files = save(serialization_format="skops", forged=forged, drop=["sklearn"])
    assert files.risks == ("it calls antigravity.anything, which is not XGBoost's",)


def test_a_pickle_that_calls_itself_skops_is_not_loaded(save, tmp_path):
    with pytest.raises(TrainerError, match="is not a skops file that can be read"):
        save(serialization_format="pickle", forged={"sklearn": {"serialization_format": "skops"}})


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc/passwd", "missing"])
def test_the_file_must_be_in_the_folder(save, name):
    with pytest.raises(TrainerError, match="lacks the file"):
        save(serialization_format="skops", forged={"sklearn": {"pickled_model": name}})


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        (
            {},
            "python_function flavour alone: Python code, which cannot be converted. Log the estimator",
        ),
        ({"pytorch": {}}, "has the flavour pytorch; only sklearn, lightgbm, xgboost, catboost"),
    ],
)
def test_other_flavours_are_refused_with_what_to_do(save, forged, message):
    with pytest.raises(TrainerError, match=message.replace(".", r"\.")):
        save(serialization_format="skops", forged=forged, drop=["sklearn"])


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(TrainerError, match="it has no MLmodel file"):
        read_description(tmp_path, "it")


def test_other_versions_of_libraries_are_named(save):
    files = save(
        serialization_format="pickle",
        pip_requirements=[
            "scikit-learn==1.2.2",
            "nothing-like-this==1",
            "mlflow==1.0",
            "pandas>=1",
        ],
        forged={"python_function": {"python_version": "3.7.1"}},
    )
    python, sklearn, unknown = differences(files)
    assert python.startswith("Python 3.7.1 (here 3.")
    assert sklearn.startswith("scikit-learn 1.2.2 (here 1.")
    assert unknown == "nothing-like-this 1 (here not installed)"


def test_a_model_that_cannot_be_loaded_names_its_packages(save):
    files = save(serialization_format="pickle", pip_requirements=["nothing-like-this==1"])
    (files.folder / "model.pkl").write_bytes(b"cnothing_like_this\nmodel\n.")
    with pytest.raises(TrainerError, match=r"nothing_like_this.* made with: nothing-like-this==1"):
        load(files, "it")


def test_a_library_that_is_not_installed(save):
    """The program's start turns this into one line that names the extra."""
    forged = {"catboost": {"data": "model.skops", "model_type": "CatBoostClassifier"}}
    files = save(serialization_format="skops", forged=forged, drop=["sklearn"])
    with pytest.raises(ModuleNotFoundError, match="catboost"):
        load(files, "it")


def test_a_search_object_needs_no_trust(save):
    """With what it was scored and split by."""
    search = GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=2, scoring="neg_mean_squared_error")
    model = search.fit(ROWS, ROWS.b)
    from skops.io import dumps, get_untrusted_types  # every worker would wait for it

    types = get_untrusted_types(data=dumps(model))
    files = save(model, serialization_format="skops", skops_trusted_types=types)
    assert files.risks == ()
    assert load(files, "it").best_params_ == model.best_params_


_BOOSTING = """
import json, sys
import mlflow, numpy as np, pandas as pd
from catboost import CatBoostClassifier
from xgboost import XGBClassifier, XGBRegressor
from exporters.export import export
from mlflow.models import Model
from trainer.model_files import inspect, load
from pathlib import Path
rows = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=["a", "b", "c"])
large = (rows.a > 0).astype(int)
found = {}
for name, flavour, model, settings in (
    ("ubj", mlflow.xgboost, XGBClassifier(n_estimators=3), {}),
    ("json", mlflow.xgboost, XGBRegressor(n_estimators=3), {"model_format": "json"}),
    ("cbm", mlflow.catboost, CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False), {}),
):
    model.fit(rows, large)
    folder = Path(sys.argv[1]) / name
    flavour.save_model(model, str(folder), pip_requirements=[], **settings)
    files = inspect(folder, Model.load(str(folder)), name)
    found[name] = [files.form, files.risks, export(load(files, name), rows).parity.passed]
print(json.dumps(found))
"""


@pytest.mark.whole
def test_xgboost_and_catboost_need_no_trust(tmp_path):
    """Their own formats hold no code; XGBoost and CatBoost are not in the trainer's environment."""
    result = subprocess.run(
        [environment("models"), "-c", _BOOSTING, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "ubj": ["XGBoost's ubj", [], True],
        "json": ["XGBoost's json", [], True],
        "cbm": ["CatBoost's cbm", [], True],
    }
