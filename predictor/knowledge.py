"""What the reconciler knows: the registry's last word, and the last version that failed."""

from dataclasses import dataclass, replace
from typing import Self

from predictor import clock
from predictor.errors import LoadError, RegistryError
from predictor.model_version import ModelVersion


@dataclass(frozen=True)
class Failure:
    """The last failed load: which version, at which revision, why, how often, and when next.

    `failed_at` is a moment of `clock.now`, `retry_at` one of the event loop's clock. `listing` is
    what the version's files looked like after the failure, None where nobody could tell.
    """

    version: ModelVersion
    stage: str
    reason: str
    attempts: int
    failed_at: float
    retry_at: float
    listing: str | None = None

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

    def outdated_by(self, aspired: ModelVersion, listing: str | None) -> bool:
        """Whether the version or its files changed since: a reason to try again at once."""
        edited = self.version.revision != aspired.revision
        replaced = None not in (self.listing, listing) and self.listing != listing
        return edited or replaced


@dataclass(frozen=True)
class Knowledge:
    """What is known of the registry.

    Its last answer, when that was (a moment of `clock.now`, None for never), the fault of the last
    try, if it failed, and why the last answer named no version, if it did not.
    """

    aspired: ModelVersion | None = None
    answered_at: float | None = None
    fault: str | None = None
    outcome: str = "answered"
    absence: str = ""

    def answered(self, aspired: ModelVersion | None, absence: str = "") -> "Knowledge":
        """What is known after an answer that came just now."""
        return Knowledge(aspired, clock.now(), absence="" if aspired else absence)

    def failed(self, error: RegistryError) -> "Knowledge":
        """What is known after a question that got no usable answer."""
        return replace(self, fault=str(error), outcome=error.outcome)

    def differs_from(self, aspired: ModelVersion | None) -> bool:
        """Whether an answer that names this version is news."""
        return self.answered_at is None or self.fault is not None or self.aspired != aspired

    @property
    def says_none(self) -> bool:
        """Whether the registry's last word is that no version should serve."""
        return self.answered_at is not None and self.aspired is None


def retry_delay(attempts: int, first: float, longest: float = 300) -> float:
    """Seconds until the next try after `attempts` failures: doubled each time, up to `longest`."""
    return float(min(longest, first * 2 ** min(attempts - 1, 32)))
