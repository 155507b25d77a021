"""Standing: what one worker serves and was told; and what is shown of several at once.

Pure: from what the workers wrote down to one value of each gauge.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "none"


@dataclass(frozen=True)
class Standing:
    """One worker's. Versions are numbers, 0 for none.

    `identity` is name, version, run and digest of what serves. `answered_at`
    is when the registry last answered, `swapped_at` when it last swapped and `since` when its version
    took over: moments of `clock.now`, which all processes share; 0 for never. `streams` is how many
    clients it tells of events; `failed` the version whose load failed last and is tried again.
    """

    identity: tuple[str, str, str, str] | None = None
    aspired: int = 0
    answered_at: float = 0.0
    swapped_at: float = 0.0
    streams: int = 0
    since: float = 0.0
    failed: int = 0

    @property
    def version(self) -> int:
        """The version that serves."""
        return int(self.identity[1]) if self.identity else 0


def aspired(standings: Sequence[Standing]) -> int:
    """The registry's latest word, whichever worker heard it."""
    return max(standings, key=lambda each: each.answered_at).aspired


def answered_at(standings: Sequence[Standing]) -> float:
    """When the worker that has waited longest for a word of the registry last had one.

    One that was never answered yet is left out: it has just started, or `predictor_workers` tells.
    """
    return min((each.answered_at for each in standings if each.answered_at), default=0.0)


def shown(standings: Sequence[Standing]) -> Standing:
    """The worker whose version stands for all: where they differ, one that the registry did not name.

    Of several such the lowest version, so that one that serves nothing is seen before all others.
    """
    named = aspired(standings)
    return min(standings, key=lambda each: (each.version == named, each.version))


def since(standings: Sequence[Standing]) -> float:
    """When the version that is shown took over, at the first of the workers that serve it."""
    version = shown(standings).version
    return min(each.since for each in standings if each.version == version)


def failed(standings: Sequence[Standing]) -> int:
    """The version that some worker cannot make ready, the highest where there are several."""
    return max(each.failed for each in standings)


def workers(standings: Sequence[Standing]) -> dict[str, int]:
    """How many serve each version, by its number as text, or `none`."""
    return dict(Counter(str(each.version or NONE) for each in standings))


def streams(standings: Sequence[Standing]) -> int:
    """How many clients are told of events, by all together."""
    return sum(each.streams for each in standings)


def skew(standings: Sequence[Standing], now: float) -> float:
    """Seconds between the first and the last worker's swap to the version that the registry named.

    While some have not swapped, the time that the first has been ahead of them.
    """
    named = aspired(standings)
    arrived = [each for each in standings if each.version == named]
    swapped = [each.swapped_at for each in arrived if each.swapped_at]
    if not swapped:
        return 0.0
    last = max(swapped) if len(arrived) == len(standings) else now
    return last - min(swapped)
