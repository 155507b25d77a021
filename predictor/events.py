"""What happened: immutable events for the log, the metrics and other observers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from approvals.standing import Standing
from predictor.errors import RegistryOutcome
from predictor.model_version import ModelVersion

SwapReason = Literal["promoted", "rolled_back", "restored", "withdrawn", "unapproved"]
SWAP_REASONS: tuple[SwapReason, ...] = get_args(SwapReason)


@dataclass(frozen=True)
class RegistryAnswered:
    """The registry named the version that should serve; None for no version, with the reason."""

    aspired: ModelVersion | None
    changed: bool
    no_version_reason: str = ""


@dataclass(frozen=True)
class RegistryFailed:
    """The registry gave no usable response; `serving` stays. `cause` is an exception in the service itself.

    `first` is False while the same outcome repeats.
    """

    outcome: RegistryOutcome
    reason: str
    serving: ModelVersion | None
    first: bool
    cause: BaseException | None = None


@dataclass(frozen=True)
class LoadStarted:
    """The service began to fetch and build a version."""

    version: ModelVersion


@dataclass(frozen=True)
class LoadFailed:
    """A version could not be loaded; the next try is after `retry_seconds`."""

    version: ModelVersion
    stage: str
    reason: str
    attempts: int
    retry_seconds: float
    serving: ModelVersion | None


@dataclass(frozen=True)
class LoadSuperseded:
    """The registry named another version before this one was ready."""

    version: ModelVersion


@dataclass(frozen=True)
class Swapped:
    """Another servable answers requests from now on. `serving` is None if the service stopped serving.

    `unapproved`: the approvals of `previous` are no longer enough.

    `load_seconds` is the time from the registry's response to the swap, 0 if nothing was loaded;
    `digest` is the SHA-256 of the serving graph.
    """

    previous: ModelVersion | None
    serving: ModelVersion | None
    reason: SwapReason
    load_seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True)
class InferenceTimedOut:
    """A computation of the serving version took too long and was stopped; the version keeps serving.

    `times` counts the version's stopped computations so far.
    """

    version: ModelVersion
    times: int


@dataclass(frozen=True)
class CacheFailed:
    """The cache could not be updated: with the serving version, or with the fact that none may serve."""

    serving: ModelVersion | None
    reason: str


@dataclass(frozen=True)
class KeysRead:
    """The key file of a setting was read again; `keys` is the number of its keys."""

    variable: str
    keys: int


@dataclass(frozen=True)
class KeysNotRead:
    """The key file of a setting cannot be read; the previous keys stay valid."""

    variable: str
    reason: str
    first: bool


@dataclass(frozen=True)
class ApprovalsChanged:
    """The approvals of the desired or of the serving version changed; None without such a version."""

    desired: tuple[ModelVersion, Standing] | None
    serving: tuple[ModelVersion, Standing] | None
    required: int


ShadowState = Literal["comparing", "waiting", "failed"]


@dataclass(frozen=True)
class ShadowChanged:
    """The shadow compares, waits or has failed from now on; `reason` says why it does not compare.

    `version`, `digest` and `run_id` are those of the version that it has, if any.
    """

    state: ShadowState
    reason: str | None = None
    version: str | None = None
    digest: str | None = None
    run_id: str | None = None


Event = (
    RegistryAnswered
    | RegistryFailed
    | LoadStarted
    | LoadFailed
    | LoadSuperseded
    | Swapped
    | InferenceTimedOut
    | CacheFailed
    | KeysRead
    | KeysNotRead
    | ApprovalsChanged
    | ShadowChanged
)
Observe = Callable[[Event], None]
