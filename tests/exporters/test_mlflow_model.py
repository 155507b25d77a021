"""One MLflow model folder that three flavours load, with nothing pickled in it."""

import lightgbm
import mlflow
import numpy as np
import pytest
from mlflow.models import Model

from exporters.answers import session
from exporters.export import export
from exporters.mlflow_model import save_model
from trainer.candidates import CATALOGUE
from trainer.data import load, split


@pytest.fixture(scope="module")
def rows():
    return split(load())


# test_experiment.py loads a version of the first with every flavour, and boosting has trees, too.
ALSO_ELSEWHERE = ("logistic_regression", "random_forest")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.whole] if name in ALSO_ELSEWHERE else [])
        for name in CATALOGUE
    ],
)
def test_three_flavours_load_the_folder_and_agree(name, rows, tmp_path):
    pipeline = CATALOGUE[name].build(0).fit(rows.train.features, rows.train.target)
    features = rows.test.features
    folder = tmp_path / "model"
    save_model(str(folder), Model(), proven=export(pipeline, features))

    labels = pipeline.predict(features)
    loaded = mlflow.sklearn.load_model(str(folder))
    np.testing.assert_array_equal(loaded.predict_proba(features), pipeline.predict_proba(features))
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(features), labels)
    onnx_model = mlflow.onnx.load_model(str(folder))
    answered = session(onnx_model.SerializeToString()).run(
        None, {"features": features.to_numpy(np.float32)}
    )
    np.testing.assert_array_equal(answered[0], labels)
    np.testing.assert_allclose(answered[1], pipeline.predict_proba(features), atol=1e-5)


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    """The saved model of a forest."""
    pipeline = CATALOGUE["random_forest"].build(0).set_params(classify__n_estimators=5)
    pipeline.fit(rows.train.features, rows.train.target)
    features = rows.test.features
    saved = tmp_path_factory.mktemp("artifact") / "model"
    save_model(
        str(saved), Model(), proven=export(pipeline, features), input_example=features.head(2)
    )
    return saved


def test_a_type_of_lightgbm_that_mlflow_does_not_trust_by_itself(rows, tmp_path):
    features = rows.test.features.iloc[:, :3]
    relevance = (rows.test.target == "malignant").astype(int)
    model = lightgbm.LGBMRanker(n_estimators=2, verbose=-1).fit(features, relevance, group=[114])
    save_model(str(tmp_path / "model"), Model(), proven=export(model, features))
    loaded = mlflow.lightgbm.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))


def test_mlmodel_names_the_flavours_the_signature_and_the_types_that_need_trust(folder, rows):
    description = Model.load(str(folder))
    assert set(description.flavors) == {"sklearn", "python_function", "onnx"}
    assert description.flavors["onnx"]["data"] == "model.onnx"
    assert description.flavors["sklearn"]["serialization_format"] == "skops"
    assert description.flavors["sklearn"]["skops_trusted_types"] == ["sklearn.tree._tree.Tree"]
    inputs = description.signature.inputs
    assert inputs.input_names() == list(rows.test.features.columns)
    assert {each.type.name for each in inputs.inputs} == {"double"}
    assert [each.type.name for each in description.signature.outputs.inputs] == ["string"]
    example = description.load_input_example(str(folder))
    assert example.columns.tolist() == inputs.input_names()


def test_nothing_in_the_folder_is_a_pickle(folder):
    assert {each.suffix for each in folder.iterdir()} <= {
        "", ".skops", ".onnx", ".json", ".yaml", ".txt"
    }  # fmt: skip
