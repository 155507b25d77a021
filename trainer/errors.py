"""What can go wrong in training and in the registry; every message is one line and says what to do next.

TrainerError
+-- RegistryError              MLflow's registry could not do what was asked
|   +-- TrackingUriError       no server is named
|   +-- UnreachableError       the server does not answer
|   +-- RefusedByMlflowError   the server answered no
|   +-- ModelNotFoundError
|   +-- VersionNotFoundError
|   +-- UndoFailedError        a change failed half way, and so did taking it back
|   +-- WebhookNotFoundError
|   +-- WebhookNotTakenError   the service refused an example of what MLflow sends
+-- SecretFileError            a webhook's secret could not be read
+-- TransitionError            the change is not one that the trainer makes
    +-- PromotionRefusedError
    +-- NothingBeneathError
    +-- NothingInProductionError
    +-- AlreadyInProductionError
    +-- NotPromotedError
    +-- PlaceWithoutAliasError
    +-- SameAliasError
    +-- ReasonError
"""

from collections.abc import Sequence
from pathlib import Path


class TrainerError(Exception):
    """Anything that the trainer refuses or cannot do."""


class RegistryError(TrainerError):
    """MLflow's registry could not do what was asked."""


class TrackingUriError(RegistryError):
    """No MLflow server is named, or something that is not a server."""

    def __init__(self, uri: str | None) -> None:
        found = "is not set" if not uri else f"is {uri!r}, which is not the address of a server"
        super().__init__(
            f"MLFLOW_TRACKING_URI {found}; start a server with `mlflow server --port 5000` "
            "and set MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
        )
        self.uri = uri


class UnreachableError(RegistryError):
    """The MLflow server gives no answer, or only errors."""

    def __init__(self, uri: str, detail: str) -> None:
        super().__init__(
            f"the MLflow server at {uri} gives no answer ({detail}); "
            "check MLFLOW_TRACKING_URI and that the server runs, then try again"
        )
        self.uri = uri


class RefusedByMlflowError(RegistryError):
    """The MLflow server answered, and the answer was no."""

    def __init__(self, action: str, detail: str) -> None:
        super().__init__(f"MLflow refused to {action}: {detail}")
        self.action = action
        self.detail = detail


class ModelNotFoundError(RegistryError):
    """No model is registered under this name, or it has no version."""

    def __init__(self, model_name: str, uri: str) -> None:
        super().__init__(
            f"no version of a model named {model_name!r} is registered at {uri}; "
            "`python -m trainer train` registers versions, --model names another model"
        )
        self.model_name = model_name


class VersionNotFoundError(RegistryError):
    """The registered model has no such version."""

    def __init__(self, model_name: str, version: str, existing: Sequence[str]) -> None:
        super().__init__(
            f"{model_name} has no version {version!r}, only {', '.join(existing)}; "
            "`python -m trainer leaderboard` shows them"
        )
        self.version = version


class UndoFailedError(RegistryError):
    """A change failed half way, and taking it back failed too: a person has to look."""

    def __init__(self, action: str, failure: BaseException, undo_failure: BaseException) -> None:
        super().__init__(
            f"could not {action} ({failure}), nor take back what was done so far "
            f"({undo_failure}); see `python -m trainer status`, then repeat or demote"
        )
        self.failure = failure


class WebhookNotFoundError(RegistryError):
    """MLflow has no webhook of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"MLflow has no webhook named {name!r}; `python -m trainer webhook list` shows them"
        )


class WebhookNotTakenError(RegistryError):
    """MLflow sent an example, and the receiver did not take it."""

    def __init__(self, url: str, said: str) -> None:
        super().__init__(
            f"the webhook is set, but an example that MLflow sent to {url} was not taken: "
            f"{' '.join(said.split())[:300]}; see that the service runs there with the same secret"
        )


class SecretFileError(TrainerError):
    """A webhook's secret could not be read from its file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} gives no secret for the webhook: {problem}; write one on its first line, such as "
            "`openssl rand -hex 32` makes"
        )


class TransitionError(TrainerError):
    """The change is not one that the trainer makes; nothing was changed."""


class PromotionRefusedError(TransitionError):
    """The policy says no; the message carries every reason, one a line."""

    def __init__(self, version: str, reasons: Sequence[str]) -> None:
        listed = "".join(f"\n  - {reason}" for reason in reasons)
        super().__init__(
            f"version {version} was not promoted to Production; "
            f"--force with --reason overrides:{listed}"
        )
        self.reasons = tuple(reasons)


class NothingBeneathError(TransitionError):
    """A rollback would leave nothing in Production."""

    def __init__(self, champion: str, earlier: str | None) -> None:
        cure = f"`promote {earlier} --to Production` brings back version {earlier}, which was there"
        super().__init__(
            f"version {champion} is the only one in Production, so a rollback would leave none; "
            + (f"{cure} before" if earlier else "promote another version")
            + f", and `demote {champion}` stops serving"
        )
        self.champion = champion


class NothingInProductionError(TransitionError):
    """There is nothing to roll back from."""

    def __init__(self, model_name: str) -> None:
        super().__init__(
            f"no version of {model_name} is in Production; "
            "`python -m trainer promote VERSION --to Production` puts one there"
        )


class AlreadyInProductionError(TransitionError):
    """A version in Production cannot be promoted to Staging."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version {version} is in Production, and Staging is no promotion from there; "
            f"use `python -m trainer demote {version} --to Staging`"
        )


class NotPromotedError(TransitionError):
    """Only a version in Production or Staging can be demoted."""

    def __init__(self, version: str, place: str) -> None:
        super().__init__(
            f"version {version} is neither in Production nor in Staging (it is in {place}), "
            "so there is nothing to demote; see `python -m trainer status`"
        )


class PlaceWithoutAliasError(TransitionError):
    """Aliases know Production and Staging, and nothing else."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} is a stage, and the pointer is an alias; use --to None or --to Staging"
        )


class SameAliasError(TransitionError):
    """One alias cannot mean both Production and Staging."""

    def __init__(self, alias: str) -> None:
        super().__init__(
            f"alias {alias!r} means Staging, so it cannot mean Production too; "
            "choose another with --alias"
        )


class ReasonError(TransitionError):
    """The reason is missing where one is required, or longer than a record may be."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"the reason has {length} characters, more than the {limit} that are kept; shorten it"
            if length
            else "--force overrides the policy, so it needs --reason TEXT for the record"
        )
