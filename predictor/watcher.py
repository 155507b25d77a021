"""When to look at the registry: every few seconds, or at once when somebody says so."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

_MANY = 1_000_000  # looks that may be due at once: they wait for each other here, not there


def _some_time_ago() -> float:
    return time.time() - random.random() * 3600  # noqa: S311  nobody is to guess it


@dataclass(frozen=True)
class Turn:
    """Whose turn it is to look: `workers` take turns, so that together they ask as one would.

    The turns began at `since`, in seconds since the epoch. It is a random moment for each service:
    a thousand replicas that started together must not ask in step.
    """

    worker: int = 0
    workers: int = 1
    since: float = field(default_factory=_some_time_ago)

    def trigger(self, poll_seconds: float) -> IntervalTrigger:
        """When one worker looks, where they all together look every `poll_seconds`."""
        first = datetime.fromtimestamp(self.since + self.worker * poll_seconds, UTC)
        return IntervalTrigger(seconds=poll_seconds * self.workers, start_date=first, timezone=UTC)


class Watcher:
    """Calls `reconcile` on a schedule, never twice at the same time."""

    def __init__(
        self,
        reconcile: Callable[[], Awaitable[None]],
        poll_seconds: float,
        turn: Turn | None = None,
    ) -> None:
        self._reconcile = reconcile
        self._trigger = (turn or Turn()).trigger(poll_seconds)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._looking = False
        self._again = False

    def start(self) -> None:
        """Look at once, then at each turn."""
        self._scheduler.add_job(
            self._look, self._trigger, max_instances=1, coalesce=True, misfire_grace_time=None
        )
        self._scheduler.start()
        self.nudge()

    def nudge(self) -> None:
        """Look at once, or once more after the look that goes on. Many nudges are one."""
        if self._looking:
            self._again = True
        else:
            # Out of the context of whoever nudges: the scheduler's timers would keep it, and every
            # line about the registry from now on would have the id of one request.
            Context().run(self._add_nudge)

    def _add_nudge(self) -> None:
        # A job of its own: the turns stay where they are.
        self._scheduler.add_job(
            self._look, id="nudge", args=[True], replace_existing=True, max_instances=_MANY,
            misfire_grace_time=None,
        )  # fmt: skip

    def stop(self) -> None:
        """Look no more."""
        self._scheduler.shutdown(wait=False)

    async def _look(self, nudged: bool = False) -> None:
        if self._looking:
            self._again |= nudged
            return
        # Stopping cancels a look in progress; APScheduler would log that as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._look_until_news_is_read()

    async def _look_until_news_is_read(self) -> None:
        self._looking = True
        try:
            await self._reconcile()
            while self._again:
                # What this look was told may be older than the nudge.
                self._again = False
                await self._reconcile()
        finally:
            self._looking = self._again = False
