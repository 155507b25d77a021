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
        """Look at once. Many nudges before the look are one."""
        self._scheduler.modify_job(_JOB, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Look no more."""
        self._scheduler.shutdown(wait=False)

    async def _look(self) -> None:
        # Stopping cancels a look in progress; APScheduler would log that as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._reconcile()
