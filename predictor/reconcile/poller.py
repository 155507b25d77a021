"""Poll the registry every few seconds, and at once on request."""

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

_MANY = 1_000_000  # APScheduler's limit of parallel polls; this module runs one at a time
_AGAIN_SECONDS = 1.0
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class PollSchedule:
    """When this worker polls. `workers` take turns, so that together they poll as often as one alone.

    The schedule starts at `since`, in seconds of the monotonic clock, which all processes of a machine
    share. The default is random: a thousand replicas that start together must not poll together.
    """

    worker: int = 0
    workers: int = 1
    since: float = field(default_factory=some_time_ago)

    def next_after(self, moment: float, poll_seconds: float) -> float:
        """The moment of this worker's next poll. All workers together poll every `poll_seconds`."""
        period = poll_seconds * self.workers
        first = self.since + self.worker * poll_seconds
        # In floating point, the moment of a poll may come out a little too early.
        polls = math.floor((moment - first) / period + 1e-6) + 1
        return first + polls * period


class Poller:
    """Calls `reconcile` on schedule, never twice at the same time.

    The schedule follows the monotonic clock. APScheduler only runs the polls, because its triggers follow
    the wall clock: setting that back by an hour would stop the polls for an hour. After a gap, such as a
    suspended machine, there is one poll.

    A requested poll has a second one after it: a cache before the registry may answer the first with a response
    that is older than the change.
    """

    def __init__(
        self,
        reconcile: Callable[[], Awaitable[None]],
        poll_seconds: float,
        schedule: PollSchedule | None = None,
        expect_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`expect_change` is called before each requested poll."""
        self._reconcile = reconcile
        self._poll_seconds = poll_seconds
        self._schedule = schedule or PollSchedule()
        self._expect_change = expect_change
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._second_poll: asyncio.TimerHandle | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._polling = False
        self._again = False

    def start(self) -> None:
        """Poll at once, then on schedule."""
        self._scheduler.start()
        self._begin_requested()
        self._wait_from(time.monotonic())

    def poll_now(self) -> None:
        """Poll now, and again a second later; if a poll is running, poll after it. Calls coalesce."""
        self._request()
        if self._second_poll is not None:
            self._second_poll.cancel()
        loop = asyncio.get_running_loop()
        self._second_poll = loop.call_later(_AGAIN_SECONDS, self._request)

    def _request(self) -> None:
        self._expect_change()
        self._begin_requested()

    def _begin_requested(self) -> None:
        if self._polling:
            self._again = True
        else:
            # In an empty context: with the caller's, later log lines about the registry would have
            # the id of the caller's request.
            Context().run(self._begin_poll, "requested")

    def stop(self) -> None:
        """Stop polling."""
        for timer in (self._timer, self._second_poll):
            if timer is not None:
                timer.cancel()
        self._scheduler.shutdown(wait=False)

    def _wait_from(self, moment: float) -> None:
        """Wait for the first scheduled poll after a moment."""
        self._due = self._schedule.next_after(moment, self._poll_seconds)
        delay = self._due - time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._begin_poll("scheduled")
        # A timer may fire a little early; this poll must not be scheduled twice.
        self._wait_from(max(self._due, time.monotonic()))

    def _begin_poll(self, reason: Literal["scheduled", "requested"]) -> None:
        # A date in the past, so that it runs now, whatever the wall clock says.
        self._scheduler.add_job(
            self._poll, "date", run_date=_LONG_AGO, id=reason, args=[reason == "requested"],
            replace_existing=True, max_instances=_MANY, misfire_grace_time=None,
        )  # fmt: skip

    async def _poll(self, requested: bool) -> None:
        if self._polling:
            self._again |= requested
            return
        # Stopping cancels a poll in progress; APScheduler would log that as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._poll_until_up_to_date()

    async def _poll_until_up_to_date(self) -> None:
        self._polling = True
        try:
            await self._reconcile()
            while self._again:
                # The response of this poll may be older than the request to poll again.
                self._again = False
                await self._reconcile()
        finally:
            self._polling = self._again = False
