"""Find the versions of a new registry: whether there are any, and the best one."""

from collections.abc import Mapping

from trainer.errors import ModelNotFoundError
from trainer.registry import RegisteredModel


def ranked(registry: RegisteredModel) -> list[str]:
    """All version numbers, the best in cross-validation first. Raises RegistryError."""
    # Not by the test rows: they are for judging what was chosen, not for choosing.
    merit = {
        number: _merit(registry.metrics(version)) for number, version in registry.versions().items()
    }
    return sorted(merit, key=lambda number: merit[number], reverse=True)


def _merit(metrics: Mapping[str, float]) -> float:
    """The higher, the better: ROC-AUC of a classification, the negative RMSE of a regression."""
    if "cv_rmse_mean" in metrics:
        return -metrics["cv_rmse_mean"]
    return metrics.get("cv_roc_auc_mean", 0.0)


def is_empty(registry: RegisteredModel) -> bool:
    """Whether the registered model is missing or has no version. Raises RegistryError."""
    try:
        registry.versions()
    except ModelNotFoundError:
        return True
    return False
