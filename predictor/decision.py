"""What to do about what the registry said: a pure function, without a clock and without IO."""

from dataclasses import dataclass
from typing import Literal

from predictor.model_version import ModelVersion


@dataclass(frozen=True)
class Failure:
    """The last failed load: which version, at which revision, why, how often, and when next.

    `failed_at` is in seconds since the epoch, `retry_at` on the event loop's clock.
    """

    version: ModelVersion
    stage: str
    reason: str
    attempts: int
    failed_at: float
    retry_at: float


@dataclass(frozen=True)
class Knowledge:
    """What is known of the registry.

    Its last answer, when that was (seconds since the epoch, None for never), and the fault of the
    last try, if it failed.
    """

    aspired: ModelVersion | None = None
    answered_at: float | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Keep:
    """Leave things as they are."""


@dataclass(frozen=True)
class Load:
    """Make this version ready, then swap."""

    version: ModelVersion


@dataclass(frozen=True)
class Stop:
    """Serve nothing, for this reason."""

    reason: str


Action = Keep | Load | Stop


def decide(
    aspired: ModelVersion | None,
    serving: ModelVersion | None,
    failure: Failure | None,
    now: float,
    when_none: Literal["stop", "keep"],
) -> Action:
    """Compare what should serve with what does. What happened before does not matter.

    `now` is in seconds on the clock of `failure.retry_at`.
    """
    if aspired is None:
        if serving is None or when_none == "keep":
            return Keep()
        return Stop("the registry names no version")
    if aspired == serving:
        return Keep()
    if failure is not None and failure.version == aspired:
        unchanged = failure.version.revision == aspired.revision
        if unchanged and now < failure.retry_at:
            return Keep()
    return Load(aspired)


def retry_delay(attempts: int, first: float, longest: float = 300) -> float:
    """Seconds until the next try after `attempts` failures: doubled each time, up to `longest`."""
    return float(min(longest, first * 2 ** min(attempts - 1, 32)))


def why_nothing(known: Knowledge, failure: Failure | None, loading: ModelVersion | None) -> str:
    """Why nothing serves, in a sentence for whoever asked for a prediction."""
    if loading is not None:
        return f"{loading} is being loaded; try again in a moment"
    if failure is not None:
        return f"{failure.version} could not be loaded ({failure.stage}): {failure.reason}"
    if known.answered_at is None and known.fault is not None:
        return f"the registry has not said which version may serve: {known.fault}"
    if known.answered_at is None:
        return "the registry has not been asked yet; try again in a moment"
    return "the registry names no version that may serve; promote one"
