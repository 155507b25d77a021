"""Watcher: when to ask the registry: every few seconds, or at once when something says so."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from predictor.clock import some_time_ago

_MANY = 1_000_000  # looks that may be due at once: they wait for each other here, not there
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Turn:
    """Whose turn it is to look: `workers` take turns, so that together they ask as one would.

    The turns began at `since`, in seconds of the monotonic clock, which the processes of a machine
    share. It is a random moment for each service: a thousand replicas that started together must not
    ask in step.
    """

    worker: int = 0
    workers: int = 1
    since: float = field(default_factory=some_time_ago)

    def after(self, moment: float, poll_seconds: float) -> float:
        """This worker's first turn after a moment, where all together look every `poll_seconds`."""
        period = poll_seconds * self.workers
        first = self.since + self.worker * poll_seconds
        # A moment that is a turn itself may be a little less than that in floating point.
        turns = math.floor((moment - first) / period + 1e-6) + 1
        return first + turns * period


class Watcher:
    """Calls `reconcile` at each turn, never twice at the same time.

    Turns go by the monotonic clock. APScheduler runs the looks, and its own triggers, which go by the
    wall clock, are not asked: a clock that is set back by an hour would stop them for an hour. After a
    gap, such as a machine that was suspended, there is one look.
    """

    def __init__(
        self,
        reconcile: Callable[[], Awaitable[None]],
        poll_seconds: float,
        turn: Turn | None = None,
    ) -> None:
        self._reconcile = reconcile
        self._poll_seconds = poll_seconds
        self._turn = turn or Turn()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._looking = False
        self._again = False

    def start(self) -> None:
        """Look at once, then at each turn."""
        self._scheduler.start()
        self.nudge()
        self._wait_for(time.monotonic())

    def nudge(self) -> None:
        """Look now; if a look is in progress, look again afterwards. Calls coalesce."""
        if self._looking:
            self._again = True
        else:
            # Out of the context of whoever nudges: the scheduler's timers would keep it, and every
            # line about the registry from now on would have the id of one request.
            Context().run(self._begin_look, "nudge")

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._scheduler.shutdown(wait=False)

    def _wait_for(self, moment: float) -> None:
        """Wait for the first turn after a moment."""
        self._due = self._turn.after(moment, self._poll_seconds)
        delay = self._due - time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(delay, self._take_turn)

    def _take_turn(self) -> None:
        self._begin_look("turn")
        # A timer may come a little early: the turn that it was for is not taken twice.
        self._wait_for(max(self._due, time.monotonic()))

    def _begin_look(self, reason: Literal["turn", "nudge"]) -> None:
        # Due since long ago, so whatever the wall clock says now, it is due.
        self._scheduler.add_job(
            self._look, "date", run_date=_LONG_AGO, id=reason, args=[reason == "nudge"],
            replace_existing=True, max_instances=_MANY, misfire_grace_time=None,
        )  # fmt: skip

    async def _look(self, nudged: bool) -> None:
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
