"""Deadline: a timer for one thing that is waited for."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls back unless what is waited for comes in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: object = None

    @property
    def awaits(self) -> bool:
        """Whether anything is waited for."""
        return self._timer is not None

    def set(self, awaited: object, seconds: float, late: Callable[[], object]) -> bool:
        """Start to wait for `awaited`; False if that is what is waited for already.

        Then the time goes on: a little progress does not buy more of it.
        """
        if self._timer is not None and self._awaited is awaited:
            return False
        self.clear()
        self._awaited = awaited
        self._timer = self._loop.call_later(seconds, self._late, late)
        return True

    def clear(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._awaited = None

    def _late(self, late: Callable[[], object]) -> None:
        self._timer = self._awaited = None
        late()
