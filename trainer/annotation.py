"""The descriptions of an experiment, a registered model and a version, and a version's tags."""

from collections.abc import Mapping

from exporters.export import Export
from exporters.metrics import Task
from exporters.mlflow_model import version_tags as export_tags
from trainer import tag_names
from trainer.candidates import Candidate
from trainer.data import Dataset
from trainer.operating_point import OperatingPoint

# The metrics that a description names, with their titles, and the one by which a search chooses.
_HEADLINES: Mapping[Task, tuple[Mapping[str, str], str]] = {
    "binary": (
        {
            "roc_auc": "ROC-AUC",
            "sensitivity": "sensitivity",
            "specificity": "specificity",
            "accuracy": "accuracy",
        },
        "roc_auc",
    ),
    "multiclass": (
        {
            "roc_auc": "ROC-AUC",
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced accuracy",
            "f1": "F1",
        },
        "roc_auc",
    ),
    "regression": ({"rmse": "RMSE", "mae": "MAE", "r2": "R²"}, "rmse"),
}


def version_tags(
    candidate: Candidate, seed: int, dataset: Dataset, export: Export
) -> dict[str, str]:
    """Tags for the promotion policy and for searches."""
    return {
        tag_names.CANDIDATE: candidate.name,
        tag_names.SEED: str(seed),
        tag_names.DATASET_DIGEST: dataset.digest,
        tag_names.TASK: dataset.problem.task,
        **export_tags(export),
    }


def experiment_description(dataset: Dataset) -> str:
    """A Markdown paragraph for the experiment's page."""
    return (
        f"{_subject(dataset)} Each candidate of `python -m trainer train` is a run, with the trials of "
        "its search as child runs. The folder `evaluation` of a run has pictures and tables."
    )


def model_description(dataset: Dataset, model_name: str) -> str:
    """A Markdown paragraph for the registered model's page."""
    return (
        f"{_subject(dataset)} `python -m trainer status --model {model_name}` says which version "
        f"serves, and `python -m trainer gates --model {model_name}` which metrics decide a promotion."
    )


def _subject(dataset: Dataset) -> str:
    """What is predicted from what, as a sentence."""
    problem = dataset.problem
    kind = {
        "binary": f"classes {' and '.join(map(str, problem.classes))}, positive {problem.positive}",
        "multiclass": f"{len(problem.classes)} classes",
        "regression": "a number",
    }[problem.task]
    return (
        f"Predicts **{problem.target}** ({kind}) from {dataset.features.shape[1]} columns "
        f"of `{dataset.name}`."
    )


def description(
    candidate: Candidate,
    metrics: Mapping[str, float],
    dataset: Dataset,
    export: Export,
    point: OperatingPoint | None,
) -> str:
    """A Markdown paragraph for the registry's page."""
    problem, parity = dataset.problem, export.parity
    predicts = (
        f"positive class {problem.positive}"
        if problem.task == "binary"
        else f"predicts {problem.target}"
    )
    shown, search = _HEADLINES[problem.task]
    measured = ", ".join(f"{title} {metrics[f'test_{name}']:.4f}" for name, title in shown.items())
    return (
        f"**{candidate.title}**, {predicts}. On the held-out rows: {measured}. "
        f"{'' if point is None else f'Operating point: {point}. '}"
        f"Cross-validated {shown[search]} {metrics[f'cv_{search}_mean']:.4f} "
        f"± {metrics[f'cv_{search}_std']:.4f}. Dataset `{dataset.digest}`. "
        f"The ONNX export agreed with the library on all {parity.rows:,} rows; {parity.measure} "
        f"differ by {parity.largest_difference:.1e} at most."
    )
