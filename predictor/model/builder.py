"""Builder: fetch and load one version at a time, in a thread and within a time limit."""

import asyncio
import ctypes
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from predictor.errors import APPROVAL, LoadError, Stage
from predictor.model.artifact import Artifact, Fetched
from predictor.model.servable import Interrupt, Servable
from predictor.model_version import ModelVersion
from predictor.traces.tracer import TRACES_OFF, Tracer

_SECONDS = 1.0  # until released objects are freed


def trim_memory_soon() -> None:
    """Return freed memory to the system, in a thread, after a second."""
    if (trim := _malloc_trim()) is not None:
        timer = threading.Timer(_SECONDS, trim, [0])
        timer.name = "trim-memory"
        timer.daemon = True
        timer.start()


def trim_memory_after(owner: object) -> None:
    """Return freed memory to the system once `owner` is garbage collected."""
    weakref.finalize(owner, trim_memory_soon).atexit = False


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim


Fetch = Callable[[ModelVersion], Awaitable[Fetched]]
Loader = Callable[[ModelVersion, Fetched, Interrupt], Servable]
Refusal = Callable[[ModelVersion, Artifact], str | None]

_END_SECONDS = 5.0  # in which an abandoned build may end
_MAX_STUCK = 3  # abandoned builds that do not end


class Builder:
    """Fetches a version's files and turns them into a servable."""

    def __init__(
        self,
        fetch: Fetch,
        load: Loader,
        seconds: float,
        end_seconds: float = _END_SECONDS,
        *,
        refusal: Refusal = lambda _, __: None,
        tracer: Tracer = TRACES_OFF,
    ) -> None:
        """`seconds` is the time limit of one build, from the first byte to the last recorded example.

        `refusal` returns why these files may not serve; then nothing is built of them.

        An abandoned build has `end_seconds` to end before the next begins beside it.
        """
        self._end_seconds = end_seconds
        self._fetch = fetch
        self._load = load
        self._refusal = refusal
        self._seconds = seconds
        self._tracer = tracer
        # One thread: two large models are not built side by side, unless one hangs.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._building: Future[Servable] | None = None
        self._stuck: list[Future[Servable]] = []

    async def build(
        self, version: ModelVersion, fetched: Fetched | None = None
    ) -> tuple[Servable, Fetched]:
        """A servable of `version`, with the files it was built from; `fetched` saves fetching them.

        Raises LoadError. Cancelling interrupts the thread, which ends soon.
        """
        stage: Stage = "fetch"
        try:
            async with asyncio.timeout(self._seconds):
                fetched = fetched or await self._fetched(version)
                if reason := self._refusal(version, fetched.artifact):
                    raise LoadError(APPROVAL, reason)  # noqa: TRY301
                stage = "warm_up"
                return await self._in_thread(version, fetched), fetched
        except LoadError:
            raise
        except TimeoutError as error:
            reason = f"not ready after {self._seconds:g} s; PREDICTOR_LOAD_SECONDS allows more"
            raise LoadError(stage, reason) from error
        except Exception as error:
            # A bug in the loader must not end the polling.
            raise LoadError("internal", f"{type(error).__name__}: {error}") from error

    async def _fetched(self, version: ModelVersion) -> Fetched:
        with self._tracer.span("fetch") as span:
            span.set_version(version)
            fetched = await self._fetch(version)
            span.set(bytes=sum(map(len, fetched.contents.values())))
            return fetched

    def close(self) -> None:
        """Stop accepting builds."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, version: ModelVersion, fetched: Fetched) -> Servable:
        await self._free_thread()
        interrupt = Interrupt()
        self._building = self._thread.submit(
            copy_context().run, self._build, version, fetched, interrupt
        )
        try:
            return await asyncio.wrap_future(self._building)
        except asyncio.CancelledError:
            interrupt.throw()
            raise

    def _build(self, version: ModelVersion, fetched: Fetched, interrupt: Interrupt) -> Servable:
        try:
            with self._tracer.span("load") as span:
                span.set_version(version)
                servable = self._load(version, fetched, interrupt)
            trim_memory_after(servable)
            return servable
        finally:
            trim_memory_soon()  # building takes several times what the servable keeps

    async def _free_thread(self) -> None:
        """Wait until the previous, interrupted build ends; if it hangs, start another thread.

        Raises LoadError if too many builds hang.
        """
        previous = self._building
        if previous is None or previous.done():
            return
        ended = asyncio.wrap_future(previous)
        # Its caller is gone. Without this, asyncio logs its error as never retrieved.
        ended.add_done_callback(lambda each: each.cancelled() or each.exception())
        await asyncio.wait({ended}, timeout=self._end_seconds)
        if previous.done():
            return
        self._stuck = [each for each in self._stuck if not each.done()]
        if len(self._stuck) >= _MAX_STUCK:
            raise LoadError(
                "internal",
                f"{_MAX_STUCK + 1} builds of other versions do not end; restart the service",
            )
        self._stuck.append(previous)
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="builder")
