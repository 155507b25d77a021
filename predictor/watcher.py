"""When to look at the registry: every few seconds, or at once when somebody says so."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

_JOB = "reconcile"


class Watcher:
    """Calls `reconcile` on a schedule, never twice at the same time."""

    def __init__(self, reconcile: Callable[[], Awaitable[None]], poll_seconds: float) -> None:
        self._reconcile = reconcile
        self._poll_seconds = poll_seconds
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._looking = False
        self._again = False

    def start(self) -> None:
        """Look at once, then every `poll_seconds`, give or take a tenth.

        Without the jitter, a thousand replicas that started together would ask in step.
        """
        self._scheduler.add_job(
            self._look,
            IntervalTrigger(
                seconds=self._poll_seconds, jitter=self._poll_seconds / 10, timezone=UTC
            ),
            id=_JOB,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()

    def nudge(self) -> None:
        """Look at once, or once more after the look that goes on. Many nudges are one."""
        if self._looking:
            self._again = True
        else:
            self._scheduler.modify_job(_JOB, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Look no more."""
        self._scheduler.shutdown(wait=False)

    async def _look(self) -> None:
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
