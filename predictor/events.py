"""What happened, in the past tense: frozen values that the log, the metrics and others observe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from predictor.errors import RegistryOutcome
from predictor.model_version import ModelVersion

SwapReason = Literal["promoted", "rolled_back", "restored", "withdrawn"]


@dataclass(frozen=True)
class RegistryAnswered:
    """The registry said which version should serve; None for no version, with its reason."""

    aspired: ModelVersion | None
    changed: bool
    none_reason: str = ""


@dataclass(frozen=True)
class RegistryFailed:
    """The registry gave no usable answer; `serving` goes on serving. `cause` is a fault of our own."""

    outcome: RegistryOutcome
    reason: str
    serving: ModelVersion | None
    first: bool
    cause: BaseException | None = None


@dataclass(frozen=True)
class LoadStarted:
    """The files of a version are being fetched and built."""

    version: ModelVersion


@dataclass(frozen=True)
class LoadFailed:
    """A version could not be made ready; it is tried again after `retry_seconds`."""

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
    """Another servable answers requests from now on; None for none.

    `load_seconds` is the time from the registry's word to the swap, 0 where nothing was loaded; `digest` is the SHA-256 of the graph that serves.
    """

    previous: ModelVersion | None
    serving: ModelVersion | None
    reason: SwapReason
    load_seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True)
class InferenceTimedOut:
    """A computation of a version was stopped because it took too long; the version goes on serving.

    `times` is how often that happened to it so far.
    """

    version: ModelVersion
    times: int


@dataclass(frozen=True)
class CacheFailed:
    """What serves, or that nothing may, could not be written to the cache."""

    serving: ModelVersion | None
    reason: str


@dataclass(frozen=True)
class KeysRead:
    """The file of keys that a variable names was read anew; it holds so many."""

    variable: str
    keys: int


@dataclass(frozen=True)
class KeysNotRead:
    """The file of keys that a variable names cannot be used now; the keys of before still count."""

    variable: str
    reason: str
    first: bool


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
)
Observe = Callable[[Event], None]
