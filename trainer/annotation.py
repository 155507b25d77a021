"""The description and tags of a registered version."""

from collections.abc import Mapping

from exporters.parity import ParityReport
from exporters.sklearn_onnx import OnnxExport
from trainer.candidates import Candidate
from trainer.data import Dataset


def version_tags(
    candidate: Candidate, seed: int, dataset: Dataset, export: OnnxExport, parity: ParityReport
) -> dict[str, str]:
    """Tags for the promotion policy and for searches."""
    return {
        "candidate": candidate.name,
        "seed": str(seed),
        "dataset_digest": dataset.digest,
        "onnx_sha256": export.sha256,
        **parity_tags(parity),
    }


def parity_tags(parity: ParityReport) -> dict[str, str]:
    """The parity report as four tags."""
    return {
        "parity": "passed" if parity.passed else "failed",
        "parity_rows": str(parity.rows),
        "parity_largest_difference": f"{parity.largest_difference:.3g}",
        "parity_mismatches": str(parity.mismatches),
    }


def description(
    candidate: Candidate, metrics: Mapping[str, float], dataset: Dataset, parity: ParityReport
) -> str:
    """A Markdown paragraph for the registry's page."""
    return (
        f"**{candidate.title}**, positive class malignant. On the held-out rows: "
        f"ROC-AUC {metrics['test_roc_auc']:.4f}, sensitivity {metrics['test_sensitivity']:.4f}, "
        f"specificity {metrics['test_specificity']:.4f}, accuracy {metrics['test_accuracy']:.4f}. "
        f"Cross-validated ROC-AUC {metrics['cv_roc_auc_mean']:.4f} "
        f"± {metrics['cv_roc_auc_std']:.4f}. Dataset `{dataset.digest}`. "
        f"The ONNX export agreed with scikit-learn on all {parity.rows:,} rows; probabilities "
        f"differ by {parity.largest_difference:.1e} at most."
    )
