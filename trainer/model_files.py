"""The folder of an MLflow model: its library, whether loading it can run code, and the loaded model.

The version's author wrote these files, MLmodel too. So MLmodel decides which loader is used, and the
loader's own format decides what is safe; what MLmodel says of trust counts for nothing.
"""

import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlflow.models import Model
from packaging.requirements import InvalidRequirement, Requirement

from trainer.errors import TrainerError
from trainer.terminal import printable

LIBRARIES = ("sklearn", "lightgbm", "xgboost", "catboost")
"""Flavours that can be converted."""

# Types beyond those that skops trusts by itself. Each keeps values, or computes from arrays alone. SciPy's
# distributions are not among them: they execute a text of theirs.
HARMLESS_TYPES = frozenset(
    {
        "catboost.core.CatBoostClassifier",
        "catboost.core.CatBoostRegressor",
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "skl2onnx.sklapi.cast_transformer.CastTransformer",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._classification.f1_score",
        "sklearn.metrics._classification.log_loss",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._ranking.average_precision_score",
        "sklearn.metrics._ranking.roc_auc_score",
        "sklearn.metrics._regression.mean_absolute_error",
        "sklearn.metrics._regression.mean_squared_error",
        "sklearn.metrics._regression.r2_score",
        "sklearn.metrics._regression.root_mean_squared_error",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRegressor",
    }
)
# MLflow imports and calls the class that MLmodel names.
_XGBOOST_CLASSES = frozenset(
    {"xgboost.core.Booster"}
    | {
        f"xgboost.sklearn.XGB{each}"
        for each in ("Classifier", "Regressor", "Ranker", "RFClassifier", "RFRegressor", "Model")
    }
)
_LIGHTGBM_TEXT = "lightgbm.basic.Booster"
_NOT_OF_THE_MODEL = {"mlflow", "mlflow-skinny"}  # what logged it, not what predicts


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model. `risks` says why loading it can run code; it is empty if loading cannot.

    `form` is the format of its file, for people.
    """

    folder: Path
    description: Model
    library: str
    form: str
    risks: tuple[str, ...]

    @property
    def flavour(self) -> Mapping[str, Any]:
        """What MLmodel says of the library's flavour."""
        found: Mapping[str, Any] = self.description.flavors[self.library]
        return found


def read_description(folder: Path, title: str) -> Model:
    """What the MLmodel file says; `title` names the model in errors. Raises TrainerError."""
    try:
        return Model.load(str(folder))
    except Exception as error:  # MLflow raises any type of error for a wrong file
        raise TrainerError(
            f"{title} has no MLmodel file that MLflow can read ({printable(str(error))[:200]}); "
            "only MLflow models can be converted"
        ) from error


def inspect(folder: Path, description: Model, title: str) -> ModelFiles:
    """Find the library, and whether its loader can run code. Loads nothing. Raises TrainerError."""
    library = next((each for each in LIBRARIES if each in description.flavors), None)
    if library is None:
        raise TrainerError(_unknown_flavour(title, sorted(description.flavors)))
    flavour = description.flavors[library]
    form, risks = _FORMATS[library](flavour, _file(folder, flavour, library, title), title)
    if flavour.get("code"):
        risks = (*risks, f"it brings Python code of its own ({flavour['code']}/)")
    return ModelFiles(folder, description, library, printable(form), tuple(map(printable, risks)))


def load(files: ModelFiles, title: str) -> Any:
    """The fitted model. With `risks`, this can run code: load only what is trusted.

    Raises TrainerError, or ModuleNotFoundError for a library of an extra, which the entry point names.
    """
    try:
        with warnings.catch_warnings():
            # Of differing versions; `differences` says it once, in one form.
            warnings.simplefilter("ignore")
            if files.form == "skops" and not files.risks:
                # Not by MLflow, which takes the trusted types from MLmodel.
                return _load_skops(files)
            return import_module(f"mlflow.{files.library}").load_model(str(files.folder))
    except Exception as error:  # each library has its own errors
        if isinstance(error, ModuleNotFoundError) and error.name in LIBRARIES:
            raise
        needed = ", ".join(str(each) for each in _requirements(files)) or "its libraries"
        raise TrainerError(
            f"{title} cannot be loaded ({type(error).__name__}: {printable(str(error))[:300]}); it may need "
            f"the packages that it was made with: {printable(needed)}"
        ) from error


def differences(files: ModelFiles) -> list[str]:
    """What is installed in another version than the model was made with, as `package 1.2 (here 1.3)`."""
    found = []
    made_with = str(files.description.flavors.get("python_function", {}).get("python_version", ""))
    here = platform.python_version()
    if files.risks and made_with and made_with.split(".")[:2] != here.split(".")[:2]:
        found.append(f"Python {made_with} (here {here})")
    for requirement in _requirements(files):
        pinned = [each.version for each in requirement.specifier if each.operator == "=="]
        installed = _installed(requirement.name)
        if pinned and not requirement.specifier.contains(installed or "0", prereleases=True):
            found.append(f"{requirement.name} {pinned[0]} (here {installed or 'not installed'})")
    return [printable(each) for each in found]


def _requirements(files: ModelFiles) -> list[Requirement]:
    file = files.folder / "requirements.txt"
    if not file.is_file():
        return []
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            requirement = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue  # an option of pip, a path
        marker = requirement.marker
        if requirement.name.lower() not in _NOT_OF_THE_MODEL and (not marker or marker.evaluate()):
            found.append(requirement)
    return found


def _installed(distribution: str) -> str | None:
    # XGBoost has several distributions of one package.
    names = [distribution, "xgboost-cpu"] if distribution == "xgboost" else [distribution]
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _file(folder: Path, flavour: Mapping[str, Any], library: str, title: str) -> Path:
    """The model's own file, which must be inside the folder."""
    name = str(flavour.get("pickled_model" if library == "sklearn" else "data") or "model.cb")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise TrainerError(f"{title} lacks the file {printable(name)!r}, which its MLmodel names")
    return path


def _unknown_flavour(title: str, flavours: list[str]) -> str:
    others = [each for each in flavours if each != "python_function"]
    if not others:
        return (
            f"{title} has the python_function flavour alone: Python code, which cannot be converted. Log the "
            "estimator inside it with exporters.log_model, or export it yourself and log the graph with "
            "mlflow.onnx.log_model"
        )
    return (
        f"{title} has the flavour {printable(', '.join(others))}; only {', '.join(LIBRARIES)} are converted. "
        "Export it with its library (a network of PyTorch with torch.onnx.export) and log the graph with "
        "mlflow.onnx.log_model"
    )


def _read_sklearn(
    flavour: Mapping[str, Any], file: Path, title: str
) -> tuple[str, tuple[str, ...]]:
    form = str(flavour.get("serialization_format") or "pickle")
    if form != "skops":
        return form, (f"its file {file.name} is a pickle ({form})",)
    unknown = sorted(set(_untrusted_types(file, title)) - HARMLESS_TYPES)
    if not unknown:
        return form, ()
    return form, (f"its file {file.name} has types that may run code: {', '.join(unknown)}",)


def _read_lightgbm(
    flavour: Mapping[str, Any], file: Path, title: str
) -> tuple[str, tuple[str, ...]]:
    if flavour.get("model_class", _LIGHTGBM_TEXT) == _LIGHTGBM_TEXT:
        return "LightGBM's text", ()
    return _read_sklearn(
        {"serialization_format": flavour.get("serialization_format") or "cloudpickle"}, file, title
    )


def _read_xgboost(flavour: Mapping[str, Any], file: Path, _: str) -> tuple[str, tuple[str, ...]]:
    name = str(flavour.get("model_class", "xgboost.core.Booster"))
    risks = () if name in _XGBOOST_CLASSES else (f"it calls {name}, which is not XGBoost's",)
    return f"XGBoost's {file.suffix.removeprefix('.') or 'binary'}", risks


def _read_catboost(flavour: Mapping[str, Any], _: Path, __: str) -> tuple[str, tuple[str, ...]]:
    """CatBoost reads its own formats alone; MLflow knows its classes by their names."""
    return f"CatBoost's {printable(str(flavour.get('save_format') or 'cbm'))}", ()


_FORMATS = {
    "sklearn": _read_sklearn,
    "lightgbm": _read_lightgbm,
    "xgboost": _read_xgboost,
    "catboost": _read_catboost,
}


def _untrusted_types(file: Path, title: str) -> list[str]:
    from skops.io import get_untrusted_types  # takes seconds

    try:
        return list(get_untrusted_types(file=file))
    except Exception as error:  # skops raises any type of error for a damaged file
        raise TrainerError(
            f"the file {file.name} of {title} is not a skops file that can be read "
            f"({type(error).__name__}: {printable(str(error))[:200]})"
        ) from error


def _load_skops(files: ModelFiles) -> Any:
    from skops.io import load as load_skops

    name = files.flavour["pickled_model" if files.library == "sklearn" else "data"]
    return load_skops(files.folder / name, trusted=sorted(HARMLESS_TYPES))
