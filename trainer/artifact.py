"""An MLflow model with the flavours sklearn, python_function and onnx, without pickle."""

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.sklearn
import onnx
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, Schema

from exporters.sklearn_onnx import OnnxExport
from trainer.errors import UntrustedTypesError
from trainer.tracking import Run

# Types beyond those that skops trusts by itself. Each keeps numbers and rebuilds from them alone.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "skl2onnx.sklapi.cast_transformer.CastTransformer",
    }
)
SKOPS_FILE, ONNX_FILE = "model.skops", "model.onnx"
# Pinned, so that MLflow need not load the model to guess them, which costs seconds.
REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "skops")


@dataclass(frozen=True)
class TrainedModel:
    """The content of an artifact: a fitted pipeline, its export, and an input example."""

    name: str
    pipeline: Any
    export: OnnxExport
    example: pd.DataFrame


def log(run: Run, model: TrainedModel, metrics: dict[str, float]) -> str:
    """Upload the model as an output of `run`, with these metrics; returns `models:/m-…`.

    Raises UntrustedTypesError, with nothing uploaded.
    """
    logged = run.client.create_logged_model(
        run.experiment_id, name=model.name, source_run_id=run.run_id, model_type="classifier"
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            description = Model(
                artifact_path=logged.artifact_location,
                run_id=run.run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            )
            save(Path(folder) / "model", model, description)
            run.client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    except BaseException:
        run.client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    run.client.finalize_logged_model(logged.model_id, "READY")
    run.log_model(logged.model_id, metrics)
    return f"models:/{logged.model_id}"


def save(folder: Path, model: TrainedModel, description: Model) -> None:
    """Write the MLflow model to `folder`, which must not exist; `description` becomes its MLmodel.

    Raises UntrustedTypesError.
    """
    try:
        mlflow.sklearn.save_model(
            model.pipeline,
            str(folder),
            mlflow_model=description,
            signature=_signature(model.example),
            input_example=model.example,
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            skops_trusted_types=sorted(TRUSTED_TYPES),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
    except MlflowException as error:
        from skops.io import dumps

        unknown = _untrusted_types(dumps(model.pipeline)) - TRUSTED_TYPES
        if unknown:
            raise UntrustedTypesError(model.name, sorted(unknown)) from error
        raise
    # MLmodel then says what this model needs trust for, not what any model may.
    needed = _untrusted_types((folder / SKOPS_FILE).read_bytes())
    description.flavors["sklearn"]["skops_trusted_types"] = sorted(needed)
    _add_onnx(folder, model.export, description)
    description.save(str(folder / MLMODEL_FILE_NAME))


def _add_onnx(folder: Path, export: OnnxExport, description: Model) -> None:
    (folder / ONNX_FILE).write_bytes(export.content)
    description.add_flavor(
        "onnx",
        onnx_version=onnx.__version__,
        data=ONNX_FILE,
        providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "execution_mode": "sequential"},
        code=None,
    )
    files = (each for each in folder.rglob("*") if each.is_file())
    description.model_size_bytes = sum(each.stat().st_size for each in files)


def _signature(example: pd.DataFrame) -> ModelSignature:
    """Inputs: named doubles. Output: the label of python_function; MLflow cannot describe more."""
    inputs = Schema([ColSpec("double", name) for name in example.columns])
    return ModelSignature(inputs, Schema([ColSpec("string", required=True)]))


def _untrusted_types(content: bytes) -> set[str]:
    """The types in these bytes that skops does not trust by default."""
    from skops.io import get_untrusted_types  # takes seconds, which only training needs to spend

    return set(get_untrusted_types(data=content))
