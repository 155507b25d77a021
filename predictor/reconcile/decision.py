"""Decide what follows from the registry's response: pure functions, without IO."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from predictor import clock
from predictor.errors import APPROVAL, LoadError, RegistryError
from predictor.events import SwapReason
from predictor.model_version import ModelVersion


@dataclass(frozen=True)
class Failure:
    """The last failed load: its version, stage and reason, the number of attempts, and the time of the next.

    `failed_at` is in seconds of `clock.now`, `retry_at` in seconds of the event loop's clock. `fingerprint`
    is that of the version's files after the failure, None if it is unknown. A version that waits for approvals
    has the `retry_at` 0: its approvals are counted at each poll. `retry_seconds` is the delay of the next try,
    None if only a change causes one.
    """

    version: ModelVersion
    stage: str
    reason: str
    attempts: int
    failed_at: float
    retry_at: float
    fingerprint: str | None = None
    retry_seconds: float | None = None

    @classmethod
    def after(
        cls, before: Self | None, version: ModelVersion, error: LoadError, now: float, first: float
    ) -> Self:
        """The failure of `version` at `now` (the loop's clock). The first retry comes after `first` seconds.

        `before` is the previous failure: if it is of the same version, the delay grows.
        """
        again = before is not None and before.version == version
        attempts = before.attempts + 1 if before is not None and again else 1
        delay = retry_delay(attempts, first)
        return cls(
            version, error.stage, error.reason, attempts, clock.now(), now + delay, None, delay
        )

    @property
    def retries_in_silence(self) -> bool:
        """Whether the fetched files differ from the approved ones: retries are not news."""
        return self.stage == APPROVAL and self.retry_at > 0

    def repeated_by(self, version: ModelVersion, error: LoadError) -> bool:
        """Whether this error says the same again about the approvals of the version."""
        same = (self.version, self.stage, self.reason) == (version, error.stage, error.reason)
        return same and error.stage == APPROVAL

    def outdated_by(self, aspired: ModelVersion, fingerprint: str | None) -> bool:
        """Whether the version or its files changed since the failure; then it is tried again at once."""
        edited = self.version.revision != aspired.revision
        replaced = None not in (self.fingerprint, fingerprint) and self.fingerprint != fingerprint
        return edited or replaced


@dataclass(frozen=True)
class RegistryStatus:
    """The registry's last response, and the result of the last poll.

    `answered_at` is in seconds of `clock.now`, None for never. `fault` is why the last poll failed, None if
    it succeeded. `no_version_reason` is why the last response named no version; empty if it named one.
    """

    aspired: ModelVersion | None = None
    answered_at: float | None = None
    fault: str | None = None
    outcome: str = "answered"
    no_version_reason: str = ""

    def answered(
        self, aspired: ModelVersion | None, no_version_reason: str = ""
    ) -> "RegistryStatus":
        """The status after a response that names this version, or none."""
        return RegistryStatus(
            aspired, clock.now(), no_version_reason="" if aspired else no_version_reason
        )

    def failed(self, error: RegistryError) -> "RegistryStatus":
        """The status after a failed poll."""
        return replace(self, fault=str(error), outcome=error.outcome)

    def differs_from(self, aspired: ModelVersion | None) -> bool:
        """Whether a response that names this version changes the status."""
        return self.answered_at is None or self.fault is not None or self.aspired != aspired

    @property
    def names_none(self) -> bool:
        """Whether the registry's last response names no version."""
        return self.answered_at is not None and self.aspired is None


def retry_delay(attempts: int, first: float, longest: float = 300) -> float:
    """Seconds until the next try after `attempts` failures: doubled each time, up to `longest`."""
    return float(min(longest, first * 2 ** min(attempts - 1, 32)))


@dataclass(frozen=True)
class NoChange:
    """Leave the serving version as it is."""


@dataclass(frozen=True)
class Load:
    """Load this version, then swap."""

    version: ModelVersion


@dataclass(frozen=True)
class Stop:
    """Serve nothing: the registry names no version."""


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
    """Compare the aspired version with the serving one. Earlier versions do not matter.

    `now` is in seconds of the event loop's clock. `fingerprint` is the present one of the aspired version's
    files.
    """
    if aspired is None:
        if serving is None or when_none == "keep":
            return NoChange()
        return Stop()
    if aspired == serving:
        return NoChange()
    if failure is None or failure.version != aspired:
        return Load(aspired)
    waits = now < failure.retry_at and not failure.outdated_by(aspired, fingerprint)
    return NoChange() if waits else Load(aspired)


def why_swapped(
    before: ModelVersion | None, version: ModelVersion, *, restored: bool
) -> SwapReason:
    """Why `version` replaces `before`; None for none."""
    if restored:
        return "restored"
    return "rolled_back" if before and before.number > version.number else "promoted"


def why_nothing(
    registry: RegistryStatus,
    failure: Failure | None,
    loading: ModelVersion | None,
    *,
    unapproved: bool = False,
) -> str:
    """Why nothing serves, in a sentence that any client may read.

    It contains no address and no text of a registry, a store or a library; `GET /model` has those.
    `unapproved`: the service stopped because approvals of the serving version were no longer enough.
    """
    if loading is not None:
        return f"{loading} is being loaded; try again in a moment"
    if failure is not None:
        waits = failure.stage == APPROVAL
        what = "waits for approvals" if waits else f"could not be loaded ({failure.stage})"
        return f"{failure.version} {what}; /model says why"
    if unapproved:
        return "too few approvals of the version that served are still valid; /model says more"
    if registry.answered_at is None and registry.fault is not None:
        return "the registry has not said which version may serve; /model says why"
    if registry.answered_at is None:
        return "the registry has not been polled yet; try again in a moment"
    return "the registry names no version that may serve; promote one"
