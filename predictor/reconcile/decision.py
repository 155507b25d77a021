"""What to do about what the registry said: pure functions, without IO."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from predictor import clock
from predictor.errors import LoadError, RegistryError
from predictor.events import SwapReason
from predictor.model_version import ModelVersion


@dataclass(frozen=True)
class Failure:
    """The last failed load: which version, at which revision, why, how often, and when next.

    `failed_at` is a moment of `clock.now`, `retry_at` one of the event loop's clock. `fingerprint` is
    what the version's files looked like after the failure, None where nobody could tell.
    """

    version: ModelVersion
    stage: str
    reason: str
    attempts: int
    failed_at: float
    retry_at: float
    fingerprint: str | None = None

    @classmethod
    def after(
        cls, before: Self | None, version: ModelVersion, error: LoadError, now: float, first: float
    ) -> Self:
        """The failure of `version` at `now` (the loop's clock), `first` seconds before the next try.

        Where `before` is of the same version, it counts, and the delay grows.
        """
        again = before is not None and before.version == version
        attempts = before.attempts + 1 if before is not None and again else 1
        retry_at = now + retry_delay(attempts, first)
        return cls(version, error.stage, error.reason, attempts, clock.now(), retry_at)

    def outdated_by(self, aspired: ModelVersion, fingerprint: str | None) -> bool:
        """Whether the version or its files changed since: a reason to try again at once."""
        edited = self.version.revision != aspired.revision
        replaced = None not in (self.fingerprint, fingerprint) and self.fingerprint != fingerprint
        return edited or replaced


@dataclass(frozen=True)
class RegistryStatus:
    """What is known of the registry.

    Its last answer, when that was (a moment of `clock.now`, None for never), the fault of the last
    try, if it failed, and why the last answer named no version, if it did not.
    """

    aspired: ModelVersion | None = None
    answered_at: float | None = None
    fault: str | None = None
    outcome: str = "answered"
    none_reason: str = ""

    def answered(self, aspired: ModelVersion | None, none_reason: str = "") -> "RegistryStatus":
        """What is known after an answer that came just now."""
        return RegistryStatus(aspired, clock.now(), none_reason="" if aspired else none_reason)

    def failed(self, error: RegistryError) -> "RegistryStatus":
        """What is known after a question that got no usable answer."""
        return replace(self, fault=str(error), outcome=error.outcome)

    def differs_from(self, aspired: ModelVersion | None) -> bool:
        """Whether an answer that names this version is news."""
        return self.answered_at is None or self.fault is not None or self.aspired != aspired

    @property
    def names_none(self) -> bool:
        """Whether the registry's last word is that no version should serve."""
        return self.answered_at is not None and self.aspired is None


def retry_delay(attempts: int, first: float, longest: float = 300) -> float:
    """Seconds until the next try after `attempts` failures: doubled each time, up to `longest`."""
    return float(min(longest, first * 2 ** min(attempts - 1, 32)))


@dataclass(frozen=True)
class NoChange:
    """Leave things as they are."""


@dataclass(frozen=True)
class Load:
    """Make this version ready, then swap."""

    version: ModelVersion


@dataclass(frozen=True)
class Stop:
    """Serve nothing, for this reason."""

    reason: str


Action = NoChange | Load | Stop


def decide(
    aspired: ModelVersion | None,
    serving: ModelVersion | None,
    failure: Failure | None,
    now: float,
    when_none: Literal["stop", "keep"],
    *,
    fingerprint: str | None = None,
) -> Action:
    """Compare what should serve with what does. What happened before does not matter.

    `now` is in seconds on the clock of `failure.retry_at`; `fingerprint` is what the aspired version's
    files look like now.
    """
    if aspired is None:
        if serving is None or when_none == "keep":
            return NoChange()
        return Stop("the registry names no version")
    if aspired == serving:
        return NoChange()
    if failure is None or failure.version != aspired:
        return Load(aspired)
    waits = now < failure.retry_at and not failure.outdated_by(aspired, fingerprint)
    return NoChange() if waits else Load(aspired)


def why_swapped(
    before: ModelVersion | None, version: ModelVersion, *, restored: bool
) -> SwapReason:
    """Why `version` takes the place of the one that served before, if any did."""
    if restored:
        return "restored"
    return "rolled_back" if before and before.number > version.number else "promoted"


def why_nothing(
    known: RegistryStatus, failure: Failure | None, loading: ModelVersion | None
) -> str:
    """Why nothing serves, in a sentence for clients, whoever they are.

    It has no address, and nothing that a registry, a store or a library said: `GET /model` has that, for
    operators.
    """
    if loading is not None:
        return f"{loading} is being loaded; try again in a moment"
    if failure is not None:
        return f"{failure.version} could not be loaded ({failure.stage}); /model says why"
    if known.answered_at is None and known.fault is not None:
        return "the registry has not said which version may serve; /model says why"
    if known.answered_at is None:
        return "the registry has not been asked yet; try again in a moment"
    return "the registry names no version that may serve; promote one"
