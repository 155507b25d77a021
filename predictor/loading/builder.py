"""Builder: makes one version ready at a time, off the event loop and within a bound."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from predictor.errors import LoadError, Stage
from predictor.loading.artifact import Fetched
from predictor.loading.interrupt import Interrupt
from predictor.model_version import ModelVersion
from predictor.servable import Servable

Fetch = Callable[[ModelVersion], Awaitable[Fetched]]
Loader = Callable[[ModelVersion, Fetched, Interrupt], Servable]


class Builder:
    """Fetches a version's files and turns them into a servable."""

    def __init__(self, fetch: Fetch, load: Loader, seconds: float) -> None:
        """`seconds` bounds one build, from the first byte to the last recorded example."""
        self._fetch = fetch
        self._load = load
        self._seconds = seconds
        # One thread: two large models are never built side by side.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="builder")

    async def build(
        self, version: ModelVersion, fetched: Fetched | None = None
    ) -> tuple[Servable, Fetched]:
        """A servable of `version`, with the files it was built from; `fetched` are such, if at hand.

        Raises LoadError. When cancelled, the thread is told to end, and soon does.
        """
        stage: Stage = "fetch"
        try:
            async with asyncio.timeout(self._seconds):
                fetched = fetched or await self._fetch(version)
                stage = "warm_up"
                return await self._in_thread(version, fetched), fetched
        except LoadError:
            raise
        except TimeoutError as error:
            reason = f"not ready after {self._seconds:g} s; PREDICTOR_LOAD_SECONDS allows more"
            raise LoadError(stage, reason) from error
        except Exception as error:
            # A fault of ours must not end the polls.
            raise LoadError("internal", f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Take no more work."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, version: ModelVersion, fetched: Fetched) -> Servable:
        interrupt = Interrupt()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._thread, copy_context().run, self._load, version, fetched, interrupt
            )
        except asyncio.CancelledError:
            interrupt.throw()
            raise
