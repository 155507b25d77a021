"""Errors of training and of the registry; every message says what to do next.

TrainerError
+-- DataError                 the data cannot be trained on
+-- UntrustedTypesError       a fitted pipeline holds a type that is not on the allowlist
+-- RegistryError             MLflow's registry could not do what was requested
|   +-- RefusedByMlflowError  the server refused
|   +-- ModelNotFoundError    no version of the model is registered
+-- TransitionError           the trainer does not make this change; nothing was changed
"""

from collections.abc import Sequence
from pathlib import Path


class TrainerError(Exception):
    """Base class of the trainer's errors."""


class DataError(TrainerError):
    """The data is not valid training data."""

    def __init__(self, source: Path | str, problem: str) -> None:
        super().__init__(
            f"{source} cannot be trained on: {problem}; give --data a file in the format of UCI's "
            "wdbc.data, or leave --data out for the rows that come with scikit-learn"
        )


class UntrustedTypesError(TrainerError):
    """The saved pipeline has types that are not trusted; loading it could run their code."""

    def __init__(self, candidate: str, types: Sequence[str]) -> None:
        super().__init__(
            f"{candidate} was not saved: it holds {', '.join(types)}, which trainer/artifact.py does "
            "not trust; vet each type and add it to TRUSTED_TYPES, or choose another estimator"
        )


class RegistryError(TrainerError):
    """MLflow's registry could not do what was requested."""


class RefusedByMlflowError(RegistryError):
    """The MLflow server refused a request."""


class ModelNotFoundError(RegistryError):
    """No model is registered under this name, or it has no version."""

    def __init__(self, model_name: str, uri: str) -> None:
        super().__init__(
            f"no version of a model named {model_name!r} is registered at {uri}; "
            "`python -m trainer train` registers versions, --model names another model"
        )


class TransitionError(TrainerError):
    """The trainer refused a transition; nothing was changed."""
