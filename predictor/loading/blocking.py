"""Blocking: work on files that may hang, such as on a network's folder, beside the event loop.

Each piece has a thread of its own, so one that hangs holds up no other, and what guards access does
not wait for it. How many there are is bounded: a thread whose caller gave up stays until it ends.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from predictor.errors import LoadError

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Runs blocking work of one kind, at most `most` pieces at a time."""

    def __init__(self, what: str, most: int = 16) -> None:
        """`what` names the work, in the plural, for the error."""
        self._what = what
        self._most = most
        self._places = threading.BoundedSemaphore(most)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, from a thread. Raises what it raises, or LoadError where too many hang."""
        if not self._places.acquire(blocking=False):
            raise LoadError("fetch", f"{self._most} {self._what} have not ended; look at the store")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        call = partial(copy_context().run, partial(work, *args, **kwargs))

        def in_thread() -> None:
            try:
                tell = partial(_settle, future, call(), None)
            except BaseException as error:  # noqa: BLE001  whatever it is, the caller hears of it
                tell = partial(_settle, future, None, error)
            finally:
                self._places.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=in_thread, name=f"blocking {self._what}", daemon=True).start()
        return await future


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # its caller gave up
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
