"""One MLflow model folder that three flavours load, with nothing pickled in it."""

import mlflow
import numpy as np
import pytest
from mlflow.models import Model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from exporters.parity import session
from exporters.sklearn_onnx import OnnxExport, export
from trainer import artifact
from trainer.candidates import CATALOGUE
from trainer.data import load, split
from trainer.errors import UntrustedTypesError


@pytest.fixture(scope="module")
def rows():
    return split(load())


# Of these, test_experiment.py loads versions with every flavour.
ALSO_ELSEWHERE = ("logistic_regression", "hist_gradient_boosting")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.whole] if name in ALSO_ELSEWHERE else [])
        for name in CATALOGUE
    ],
)
def test_three_flavours_load_the_folder_and_agree(name, rows, tmp_path):
    pipeline = CATALOGUE[name].build(0).fit(rows.train.features, rows.train.diagnosis)
    features = rows.test.features
    model = artifact.TrainedModel(
        name, pipeline, export(pipeline, features, "malignant"), features.head(2)
    )
    folder = tmp_path / "model"
    artifact.save(folder, model, Model())

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
    pipeline.fit(rows.train.features, rows.train.diagnosis)
    features = rows.test.features
    exported = export(pipeline, features, "malignant")
    saved = tmp_path_factory.mktemp("artifact") / "model"
    artifact.save(
        saved, artifact.TrainedModel("forest", pipeline, exported, features.head(2)), Model()
    )
    return saved


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
    from skops.io import get_untrusted_types

    assert set(get_untrusted_types(file=folder / "model.skops")) <= artifact.TRUSTED_TYPES


class Unvetted(ClassifierMixin, BaseEstimator):
    """An estimator that nobody put on the allowlist."""

    def fit(self, features, diagnosis):
        self.classes_ = np.unique(diagnosis)
        return self

    def predict(self, features):
        return np.full(len(features), self.classes_[0])


def test_a_type_that_is_not_on_the_allowlist_is_refused_by_name(rows, tmp_path):
    pipeline = Pipeline([("classify", Unvetted())]).fit(rows.train.features, rows.train.diagnosis)
    model = artifact.TrainedModel(
        "unvetted", pipeline, OnnxExport(b"", ""), rows.test.features.head(2)
    )
    with pytest.raises(UntrustedTypesError, match=r"unvetted was not saved: it holds .*Unvetted"):
        artifact.save(tmp_path / "model", model, Model())
