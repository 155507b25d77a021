"""Retries: the last failed load, and when to try it again."""

import asyncio
import math
from dataclasses import replace

from predictor import clock
from predictor.errors import INFERENCE, LoadError
from predictor.events import InferenceTimedOut, LoadFailed, Observe
from predictor.model_version import ModelVersion
from predictor.reconcile.decision import Failure
from predictor.reconcile.source import Source


class Retries:
    """Keeps the last failure for as long as the registry names its version."""

    def __init__(self, source: Source, observe: Observe, first_seconds: float) -> None:
        """`first_seconds` is the delay after a first failure; it doubles with each further one."""
        self._source = source
        self._observe = observe
        self._first_seconds = first_seconds
        self.failure: Failure | None = None

    def failed(
        self, version: ModelVersion, error: LoadError, serving: ModelVersion | None
    ) -> Failure:
        """Record a failed load and report it to the observers. Return the failure.

        The same approvals, counted again, are not reported again.
        """
        now, before = asyncio.get_running_loop().time(), self.failure
        failure = Failure.after(before, version, error, now, self._first_seconds)
        self.failure = failure
        if before is None or not before.repeated_by(version, error):
            delay = round(failure.retry_at - now, 3)
            self._observe(
                LoadFailed(version, error.stage, error.reason, failure.attempts, delay, serving)
            )
        return failure

    def waits(self, version: ModelVersion, error: LoadError, serving: ModelVersion | None) -> None:
        """Record that a version waits for approvals, and report it to the observers if that is new."""
        if self.failure is not None and self.failure.repeated_by(version, error):
            return
        self.failure = Failure(version, error.stage, error.reason, 1, clock.now(), retry_at=0)
        first = self._first_seconds
        self._observe(LoadFailed(version, error.stage, error.reason, 1, first, serving))

    def timed_out(self, version: ModelVersion) -> None:
        """Record a computation that was stopped and report it to the observers. There is no retry."""
        before = self.failure
        times = before.attempts + 1 if before is not None and self.last_failed(version) else 1
        if before is None or self.last_failed(version):
            reason = "a computation took too long and was stopped; the version keeps serving"
            self.failure = Failure(
                version, INFERENCE, reason, times, clock.now(), retry_at=math.inf
            )
        self._observe(InferenceTimedOut(version, times))

    def loaded(self, version: ModelVersion) -> None:
        """Remove the failure of a version that is loaded now."""
        if self.last_failed(version):
            self.failure = None

    def last_failed(self, version: ModelVersion) -> bool:
        """Whether the last failure is of this version."""
        return self.failure is not None and self.failure.version == version

    def in_silence(self, version: ModelVersion) -> bool:
        """Whether the next try of this version is not news."""
        failure = self.failure
        return failure is not None and failure.version == version and failure.retries_in_silence

    async def note_fingerprint(self, failure: Failure) -> None:
        """Add the fingerprint of the files to the failure."""
        fingerprint = await self._source.fingerprint(failure.version)
        if self.failure is failure:
            self.failure = replace(failure, fingerprint=fingerprint)

    async def fingerprint(self, aspired: ModelVersion | None) -> str | None:
        """The fingerprint of the aspired version's files now, if its next try is not due yet; else None.

        Removes the failure of a version that the registry no longer names.
        """
        if self.failure is not None and self.failure.version != aspired:
            self.failure = None
        now = asyncio.get_running_loop().time()
        if self.failure is None or self.failure.stage == INFERENCE or now >= self.failure.retry_at:
            return None
        return await self._source.fingerprint(self.failure.version)
