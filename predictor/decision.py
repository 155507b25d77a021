"""What to do about what the registry said: a pure function, without a clock and without IO."""

from dataclasses import dataclass
from typing import Literal

from predictor.events import SwapReason
from predictor.knowledge import Failure, Knowledge
from predictor.model_version import ModelVersion


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
    *,
    listing: str | None = None,
) -> Action:
    """Compare what should serve with what does. What happened before does not matter.

    `now` is in seconds on the clock of `failure.retry_at`; `listing` is what the aspired version's
    files look like now.
    """
    if aspired is None:
        if serving is None or when_none == "keep":
            return Keep()
        return Stop("the registry names no version")
    if aspired == serving:
        return Keep()
    if failure is None or failure.version != aspired:
        return Load(aspired)
    waits = now < failure.retry_at and not failure.outdated_by(aspired, listing)
    return Keep() if waits else Load(aspired)


def why_swapped(
    before: ModelVersion | None, version: ModelVersion, *, restored: bool
) -> SwapReason:
    """Why `version` takes the place of the one that served before, if any did."""
    if restored:
        return "restored"
    return "rolled_back" if before and before.number > version.number else "promoted"


def why_nothing(known: Knowledge, failure: Failure | None, loading: ModelVersion | None) -> str:
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
