"""The bake time after a promotion: watch the services, and roll back if a limit is passed."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

from trainer.errors import ServiceError, TransitionError
from trainer.service_state import Counts

LOOK_SECONDS = 2.0
_UNITS = {"s": 1, "m": 60, "h": 3600}
_MIN_REQUESTS = 20  # shares of fewer are chance


def parse_seconds(text: str) -> float:
    """Seconds from `90s`, `30m` or `2h`. Raises TransitionError."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text.strip())
    if found and int(found[1]):
        return float(int(found[1]) * _UNITS[found[2]])
    raise TransitionError(
        f"--bake {text!r} is no time to watch; give seconds, minutes or hours: 90s, 30m, 2h"
    )


@dataclass(frozen=True)
class Limits:
    """What a promoted version may do during its bake time.

    `errors` is the largest share of requests with a 5xx, `not_finite` of rows without a finite answer, `flips` of rows
    that the former champion, as shadow, answers otherwise; `latency` the longest p99 in seconds; `silence` for how many
    seconds a service may give no sign of life, or not serve the version.
    """

    errors: float = 0.01
    not_finite: float = 0.0
    flips: float = 0.05
    latency: float = 0.25
    silence: float = 60.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `errors=0.01,latency=0.1`; the others keep their defaults. Raises TransitionError."""
        names = [each.name for each in fields(cls)]
        given: dict[str, float] = {}
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, _, value = part.partition("=")
            try:
                given[name] = float(value)
            except ValueError:
                given[name] = math.nan
            if name not in names or not 0 <= given[name] < math.inf:
                raise TransitionError(
                    f"--bake-limits {part!r} is invalid; it needs the form NAME=NUMBER, with {', '.join(names)}"
                )
        return cls(**given)

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name):g}" for each in fields(self))


class ReadsService(Protocol):
    """A running service."""

    url: str

    def model(self) -> dict[str, Any]:
        """The body of `GET /model`. Raises ServiceError."""

    def counts(self) -> Counts:
        """What `/metrics` counts. Raises ServiceError."""


@dataclass
class Seen:
    """What one service did since the promotion.

    `last` is what it had counted at the last look. `former` is the former champion, if it is to be the shadow; other
    shadows are not looked at.
    """

    service: ReadsService
    last: Counts
    alive_at: float
    former: str | None = None
    serves: bool = False
    fault: str = ""
    rows: int = 0
    compared: int = 0
    flips: int = 0
    counts: Counts = field(default_factory=Counts)
    _last_pair: tuple[int, int] | None = None

    def look(self, version: str, now: float) -> None:
        """Read the service once more."""
        try:
            model, counts = self.service.model(), self.service.counts()
        except ServiceError as error:
            self.fault = str(error)
            return
        serving = model.get("serving") or {}
        self.serves = str(serving.get("model_version")) == version
        if not self.serves:
            self.fault = _why_not(model, version)
            return
        self.alive_at, self.fault = now, ""
        # Look by look, because a service that is started anew in between counts from 0 again.
        self.counts, self.last = self.counts.plus(counts.since(self.last)), counts
        self.rows = int(self.counts.answered.get(version, 0))
        shadow = model.get("shadow") or {}
        beside = (shadow.get("compared_with") or {}).get("model_version")
        if self.former is not None and (shadow.get("model_version"), beside) == (
            self.former,
            version,
        ):
            rows, flips = int(shadow["rows"]), sum(int(each["rows"]) for each in shadow["flips"])
            self._look_at_pair(rows, flips)

    def _look_at_pair(self, rows: int, flips: int) -> None:
        """Count from the first look on: two versions that meet again continue their numbers of an earlier time."""
        before = (rows, flips) if self._last_pair is None else self._last_pair
        if rows < before[0]:
            before = (0, 0)  # the service was started anew
        self.compared += rows - before[0]
        self.flips += flips - before[1]
        self._last_pair = rows, flips


def _why_not(model: dict[str, Any], version: str) -> str:
    failure = model.get("last_failure") or {}
    if str(failure.get("model_version")) == version:
        return f"version {version} failed to load ({failure['stage']}): {failure['reason']}"
    return f"{(model.get('serving') or {}).get('version') or 'no version'} serves"


def begin(services: Sequence[ReadsService], now: float, former: str | None = None) -> list[Seen]:
    """The counts before the promotion. `former` is the champion that the shadows will be, or None.

    Raises ServiceError: what is not seen cannot be watched.
    """
    return [Seen(each, each.counts(), now, former) for each in services]


def breach(seen: Sequence[Seen], version: str, limits: Limits, now: float) -> str | None:
    """Which limit is passed, over all services together; None for none."""
    return next(_breaches(seen, version, limits, now), None)


def _breaches(seen: Sequence[Seen], version: str, limits: Limits, now: float) -> Iterator[str]:
    for each in seen:
        if each.fault and now - each.alive_at > limits.silence:
            yield f"{each.service.url}: {each.fault}, for over {limits.silence:g} seconds"
    counts = [each.counts for each in seen]
    requests, errors = sum(each.requests for each in counts), sum(each.errors for each in counts)
    yield from _share("requests", "failed", errors, requests, limits.errors)
    unanswered = sum(each.unanswered.get(version, 0) for each in counts)
    rows = unanswered + sum(each.rows for each in seen)
    yield from _share("rows", "had no finite answer", unanswered, rows, limits.not_finite)
    flips, compared = sum(each.flips for each in seen), sum(each.compared for each in seen)
    yield from _share("rows", "changed sides", flips, compared, limits.flips)
    for each in seen:
        slowest = each.counts.quantile(0.99)
        if each.counts.requests >= _MIN_REQUESTS and slowest > limits.latency:
            yield f"{each.service.url}: 99 % of the requests took up to {slowest:g} s, beyond {limits.latency:g} s"


def _share(of: str, what: str, count: float, total: float, limit: float) -> Iterator[str]:
    # A limit of 0 means none at all, however few there were.
    if count and (total >= _MIN_REQUESTS or not limit) and count / total > limit:
        yield f"{count:,.0f} of {total:,.0f} {of} {what} ({count / total:.2%}), beyond {limit:.2%}"


@dataclass(frozen=True)
class Bake:
    """The result of a bake: the limit that was passed, or None; or `left` if another version was promoted meanwhile."""

    breach: str | None
    rows: int
    compared: int
    left: bool = False


def watch(
    seen: Sequence[Seen],
    version: str,
    limits: Limits,
    seconds: float,
    *,
    champion: Callable[[], str | None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Bake:
    """Look at the services every two seconds until a limit is passed or the time is over.

    `champion` is the version that the registry names: if somebody else has changed it, there is nothing to watch.
    """
    ends = clock() + seconds
    for each in seen:
        each.alive_at = clock()
    while True:
        for each in seen:
            each.look(version, clock())
        found = breach(seen, version, limits, clock())
        over = clock() >= ends
        if found is None and over:
            # A short bake must not end well because a service was silent for less than the limit.
            silent = [f"{each.service.url}: {each.fault}" for each in seen if each.fault]
            found = "; ".join(silent) or None
        result = Bake(found, sum(each.rows for each in seen), sum(each.compared for each in seen))
        if champion() != version:
            return Bake(None, result.rows, result.compared, left=True)
        if found or over:
            return result
        sleep(LOOK_SECONDS)
