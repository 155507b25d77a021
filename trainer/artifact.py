"""Upload a proven export as a logged model of a run, without MLflow's global state."""

import tempfile
from pathlib import Path

import pandas as pd
from mlflow.models import Model

from exporters.export import Export
from exporters.mlflow_model import model_type, save_model, version_tags
from trainer.tracking import Run

__all__ = ["log", "version_tags"]


def log(
    run: Run, name: str, proven: Export, example: pd.DataFrame, metrics: dict[str, float]
) -> str:
    """Upload the model as an output of `run`, with these metrics; returns `models:/m-…`."""
    logged = run.client.create_logged_model(
        run.experiment_id, name=name, source_run_id=run.run_id, model_type=model_type(proven)
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "model")
            description = Model(
                artifact_path=logged.artifact_location,
                run_id=run.run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            )
            save_model(path, description, proven=proven, input_example=example)
            run.client.log_model_artifacts(logged.model_id, path)
    except BaseException:
        run.client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    run.client.finalize_logged_model(logged.model_id, "READY")
    run.log_model(logged.model_id, metrics)
    return f"models:/{logged.model_id}"
