"""Log a fitted model to MLflow with its proven ONNX export: one model, three flavours."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.utils.autologging_utils import disable_autologging

from exporters import tags as tag_names
from exporters.converters import library_of
from exporters.estimators import parts
from exporters.export import Export, export
from exporters.metadata import Settings
from exporters.metrics import Evaluation, detail, evaluate_export, score
from exporters.parity import TOLERANCE, ParityReport
from exporters.registered_name import check_registered_name
from exporters.table import Table
from exporters.training_data import BACKGROUND_ROWS

_logger = logging.getLogger(__name__)
SKOPS_FILE, ONNX_FILE = "model.skops", "model.onnx"
_COLUMN_TYPES = {"number": "double", "integer": "long", "boolean": "boolean", "text": "string"}
_BASE = ("numpy", "onnx", "onnxruntime", "pandas")
# The distributions of the packages whose names differ.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Logged:
    """A logged model; `registered_model_version` is None if it was not registered.

    `model_uri` is MLflow's, `models:/m-…`; `onnx_sha256` is that of the ONNX file, in hexadecimal.
    """

    model_uri: str
    registered_model_version: str | None
    parity: ParityReport
    run_id: str
    onnx_sha256: str


def log_model(
    model: Any,
    X: Any,  # noqa: N803 - scikit-learn's name
    *,
    name: str = "model",
    registered_model_name: str | None = None,
    y: Any = None,
    positive_class: Any = None,
    class_labels: Sequence[Any] | None = None,
    tolerance: float = TOLERANCE,
    background_rows: int = BACKGROUND_ROWS,
    options: Mapping[str, Any] | None = None,
    signature: ModelSignature | None = None,
    input_example: Any = None,
    metadata: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    pip_requirements: list[str] | str | None = None,
) -> Logged:
    """Convert a fitted model to ONNX, prove that it predicts the same, and log it to MLflow.

    The model gets the native flavour of its library, `python_function` and `onnx`. It is logged to the active
    run, or to a new one. Nothing is logged if the conversion or the proof fails.

    Args:
        model: a fitted scikit-learn estimator or pipeline, or an estimator of XGBoost, LightGBM or CatBoost.
        X: rows that it was fitted on, or others like them: a pandas or Polars data frame, an Arrow table, or
            an array [N, F]. A feature may be missing if a value is missing here, or if an imputer fills it.
        name: the model's name in the run.
        registered_model_name: register the model as the next version of this registered model.
        y: the true labels or values of X [N]. With it, metrics such as `test_roc_auc` are logged, which the
            promotion gate compares: give rows that the model was not fitted on. Several targets have none. Live
            scores are then compared with those of X.
        positive_class: the label whose probability is explained, and measured.
        class_labels: the names of the classes 0, 1, … if a LabelEncoder outside the model encoded them.
        tolerance: of probabilities absolute, of values relative to their spread.
        background_rows: how many rows of X the artifact keeps, for explanations.
        options: skl2onnx's options of the last step.
        signature: MLflow's; by default made from the columns.
        input_example: as in `mlflow.sklearn.log_model`.
        metadata: as in `mlflow.sklearn.log_model`. `{"page": {"values": "Measurements", "caution": "…"}}` is also
            what the predictor's page calls the values, and says beside every answer; each is a text, or one for
            each language, such as `{"en": "Measurements", "de": "Messwerte"}`.
        tags: of the logged model, and of the registered version.
        pip_requirements: by default the versions of the libraries that the model is from.

    Raises ConversionError, MissingExtraError, ParityError, or ExportError for rows that cannot be served and for a
    name that MLflow's registry refuses.
    """
    if registered_model_name is not None:
        check_registered_name(registered_model_name)
    settings = Settings(
        labels=y, positive_class=positive_class, tolerance=tolerance, background_rows=background_rows,
        class_labels=tuple(class_labels) if class_labels is not None else None, options=options,
        held_out=y is not None, page=(metadata or {}).get("page"),
    )  # fmt: skip
    with disable_autologging():
        proven = export(model, X, settings)
        if proven.parity.flip_count:
            _logger.warning("%s", proven.parity.about_flips())
        if proven.parity.measure == "labels":
            _logger.warning("the graph gives labels only: its scores would not be the library's")
        metrics, described = evaluated(proven, y, positive_class)
        with _run() as run_id:
            logged = Model.log(
                artifact_path=None, name=name, flavor=_Flavor, run_id=run_id, metadata=metadata,
                tags=tags, model_type=model_type(proven), validate_serving_input=False, proven=proven,
                signature=signature, input_example=input_example, pip_requirements=pip_requirements,
            )  # fmt: skip
            if metrics:
                mlflow.log_metrics(metrics, run_id=run_id, model_id=logged.model_id)
            number = None
            if registered_model_name is not None:
                number = mlflow.register_model(
                    logged.model_uri, registered_model_name, tags={**(tags or {}), **described}
                ).version
    return Logged(
        logged.model_uri,
        None if number is None else str(number),
        proven.parity,
        run_id,
        proven.sha256,
    )


def evaluated(
    proven: Export, target: Any, positive: Any
) -> tuple[dict[str, float], dict[str, str]]:
    """The metrics `test_…`, if there is a target, and the tags of a registered version. Raises ExportError."""
    described = version_tags(proven)
    evaluation = None if target is None else evaluate_export(proven, target, positive)
    if evaluation is None:
        return {}, described
    found = {**score(evaluation), **detail(evaluation)}
    described[tag_names.TASK] = evaluation.task
    described[tag_names.DATASET_DIGEST] = _digest(proven.table, evaluation)
    return {f"test_{name}": value for name, value in found.items()}, described


def _digest(table: Table, evaluation: Evaluation) -> str:
    """32 hexadecimal characters of the rows and what is true of them: metrics on other rows do not compare."""
    digest = hashlib.sha256(json.dumps([table.names, table.json_rows()]).encode())
    digest.update(json.dumps([str(each) for each in evaluation.actual.tolist()]).encode())
    return digest.hexdigest()[:32]


def version_tags(proven: Export) -> dict[str, str]:
    """The tags of a registered version: the digest of its graph, and the result of the comparison."""
    parity = proven.parity
    return {
        tag_names.ONNX_SHA256: proven.sha256,
        tag_names.PARITY: "passed" if parity.passed else "failed",
        tag_names.PARITY_ROWS: str(parity.rows),
        tag_names.PARITY_LARGEST_DIFFERENCE: f"{parity.largest_difference:.3g}",
        tag_names.PARITY_MISMATCHES: str(parity.mismatches),
    }


def model_type(proven: Export) -> str | None:
    """MLflow's type of the model, for its own pages."""
    if proven.task.classes:
        return "classifier"
    return None if proven.task.labels else "regressor"


def save_model(
    path: str,
    mlflow_model: Model,
    *,
    proven: Export,
    signature: ModelSignature | None = None,
    input_example: Any = None,
    pip_requirements: list[str] | str | None = None,
) -> None:
    """Write the MLflow model to the folder `path`, which must not exist; `mlflow_model` becomes its MLmodel."""
    save, settings = _native(proven.model)
    save(
        proven.model, path, mlflow_model=mlflow_model, signature=signature or signature_of(proven),
        input_example=input_example,
        pip_requirements=requirements(proven.model) if pip_requirements is None else pip_requirements,
        **settings,
    )  # fmt: skip
    folder = Path(path)
    (folder / ONNX_FILE).write_bytes(proven.content)
    mlflow_model.add_flavor(
        "onnx", onnx_version=onnx.__version__, data=ONNX_FILE, providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "execution_mode": "sequential"}, code=None,
    )  # fmt: skip
    files = (each for each in folder.rglob("*") if each.is_file())
    mlflow_model.model_size_bytes = sum(each.stat().st_size for each in files)
    mlflow_model.save(str(folder / MLMODEL_FILE_NAME))


def signature_of(proven: Export) -> ModelSignature:
    """MLflow's signature: named columns with their types, and the prediction."""
    table = proven.table
    inputs = Schema(
        [
            ColSpec(_COLUMN_TYPES[column.kind], column.name, required=not column.optional)
            for column in table.columns
        ]
    )
    return ModelSignature(inputs, _outputs(proven, table))


def requirements(model: Any) -> list[str]:
    """The packages that loading the model needs, with their versions: guessing them takes MLflow seconds."""
    libraries = {library_of(part) for part in parts(model)} | {"sklearn", "skops"}
    names = {*_BASE, *(_DISTRIBUTIONS.get(each, each) for each in libraries)}
    return [f"{name}=={number}" for name in sorted(names) if (number := _version(name))]


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None  # a module of the user's own


def _outputs(proven: Export, table: Table) -> Schema:
    row = table.with_rows(table.frame.iloc[:1])
    predicted = np.asarray(proven.model.predict(row.for_library()))
    if predicted.ndim > 1 and predicted.shape[1] > 1:
        return Schema([TensorSpec(np.dtype(predicted.dtype), (-1, predicted.shape[1]))])
    kinds = {"b": "boolean", "i": "long", "u": "long", "f": "double"}
    return Schema([ColSpec(kinds.get(predicted.dtype.kind, "string"), required=True)])


class _Flavor:
    """What `Model.log` calls to write the files."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **settings: Any) -> None:
        settings.pop("validate_serving_input")
        save_model(path, mlflow_model, **settings)


def _native(model: Any) -> tuple[Callable[..., None], dict[str, Any]]:
    """What saves a model in its library's own flavour, and with which settings."""
    library = library_of(model)
    if library == "lightgbm":
        return mlflow.lightgbm.save_model, _serialization(model)
    if library in {"xgboost", "catboost"}:
        # MLflow imports a flavour's module when it is first used.
        return getattr(mlflow, library).save_model, {}
    return mlflow.sklearn.save_model, _serialization(model)


def _serialization(model: Any) -> dict[str, Any]:
    """skops, which loads without running code; cloudpickle for what skops cannot write."""
    from skops.io import dumps, get_untrusted_types, loads  # takes seconds

    try:
        content = dumps(model)
        types = get_untrusted_types(data=content)
        loads(content, trusted=types)
    except Exception:  # noqa: BLE001 - skops raises any type of error
        return {"serialization_format": mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE}
    return {
        "serialization_format": mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        "skops_trusted_types": sorted(types),
    }


@contextlib.contextmanager
def _run() -> Iterator[str]:
    """The active run's id; without one, that of a new run."""
    active = mlflow.active_run()
    if active is not None:
        yield active.info.run_id
        return
    with mlflow.start_run() as run:
        yield run.info.run_id
