"""Errors of training and of the registry; every message says what to do next.

TrainerError
+-- DataError                 the data cannot be used
+-- RegistryError             MLflow's registry could not do what was requested
|   +-- RefusedByMlflowError  the server refused
|   +-- ModelNotFoundError    no version of the model is registered
+-- GateError                 a gate of the promotion is invalid
+-- TransitionError           the trainer does not make this change; nothing was changed
+-- SigningKeyError           a signing key cannot be made or used
+-- NotApprovedError          a statement about a version was not signed
+-- FleetError                the status of the replicas cannot be read
+-- ServiceError              a running service does not tell its state
+-- RecordsError              recorded predictions cannot be read
+-- ReplayError               recorded predictions cannot be computed again
"""

from pathlib import Path

_WDBC_ADVICE = (
    "without --target, --data takes a file in the format of UCI's wdbc.data; for any other table name the "
    "column to predict with --target"
)


class TrainerError(Exception):
    """Base class of the trainer's errors."""


class DataError(TrainerError):
    """The data cannot be used for a training or a conversion."""

    def __init__(self, source: Path | str, problem: str, advice: str = _WDBC_ADVICE) -> None:
        self.problem = problem
        message = f"{source} cannot be used: {problem}; {advice}"
        super().__init__(" ".join(message.split()))  # values of a table may have several lines


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


class GateError(TrainerError):
    """A gate of the promotion is invalid."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"the gate {text!r} is invalid: {problem}")
        self.text = text
        self.problem = problem


class TransitionError(TrainerError):
    """The trainer refused a transition; nothing was changed."""


class SigningKeyError(TrainerError):
    """A signing key cannot be made, read or used."""


class NotApprovedError(TrainerError):
    """A statement about a version cannot be made or judged; nothing was signed."""


class FleetError(TrainerError):
    """The status of the replicas cannot be read."""


class ServiceError(TrainerError):
    """A running service does not tell its state."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(
            f"the service {url} does not tell its state: {problem}; --service names it"
        )


class RecordsError(TrainerError):
    """Recorded predictions cannot be read or exported."""


class ReplayError(TrainerError):
    """Recorded predictions cannot be computed again with a version."""
