"""WatchedRuns: ONNX Runtime calls with a time limit. A watchdog thread stops a call that takes too long."""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from predictor.errors import InferenceTimeout
from predictor.log_events import EVENT_LOOP_STUCK
from predictor.model.servable import Run, new_options

_CHECK_SECONDS = 0.1
_LOOP_SECONDS = 0.5
"""The time limit of a call on the event loop. After it, the rows are computed again in a thread."""
_STUCK_SECONDS = 30.0
"""How long a stopped call on the event loop may take to end. The supervisor gives a worker as long."""


class _Slot:
    """The calls of one thread. `number` counts their starts and ends, so it is odd during a call."""

    def __init__(self, *, on_loop: bool, max_checks: int) -> None:
        self.on_loop = on_loop
        self.options = new_options()
        self.number = 0
        self.stopped = -1
        self._max_checks = max_checks
        self._seen = -1
        self.checks = 0

    def check(self) -> None:
        """Stop the call in progress at its `max_checks`-th check."""
        number = self.number
        if number % 2 == 0 or number != self._seen:
            self._seen, self.checks = number, 0
            return
        self.checks += 1
        if self.checks == self._max_checks:
            self.stopped = number  # set first, because the next line ends the call
            self.options.terminate = True


def end_process() -> None:
    """End the process, because its event loop waits for a call that hangs. The supervisor restarts it."""
    EVENT_LOOP_STUCK.log(seconds=_STUCK_SECONDS)
    os._exit(1)


class WatchedRuns:
    """Makes calls, in any thread; the first call starts the watchdog thread."""

    def __init__(
        self,
        seconds: float,
        stuck: Callable[[], None] = end_process,
        stuck_seconds: float = _STUCK_SECONDS,
    ) -> None:
        """`seconds` is the time limit of a call in a thread.

        `stuck` is called in the watchdog thread if a call on the event loop still runs `stuck_seconds`
        after its time limit.
        """
        self._seconds = seconds
        self._stuck = stuck
        self._stuck_checks = round((_LOOP_SECONDS + stuck_seconds) / _CHECK_SECONDS)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._slots: list[weakref.ref[_Slot]] = []

    def __call__(self, run: Run, names: list[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        """Make a call. Raises InferenceTimeout after the time limit, and the exceptions of `run`."""
        try:
            slot: _Slot = self._own.slot
        except AttributeError:
            slot = self._own.slot = self._new_slot()
        slot.number += 1
        try:
            return run(names, feed, slot.options)
        except Exception:
            if not slot.options.terminate:
                raise
            slot.options = new_options()
            if slot.stopped == slot.number:
                raise InferenceTimeout(self._seconds) from None
        finally:
            slot.number += 1
        # The watchdog meant the previous call, which ended at that moment by itself: make this one again.
        return self(run, names, feed)

    def _new_slot(self) -> _Slot:
        on_loop = _on_loop()
        seconds = min(_LOOP_SECONDS, self._seconds) if on_loop else self._seconds
        slot = _Slot(on_loop=on_loop, max_checks=max(1, round(seconds / _CHECK_SECONDS)))
        with self._lock:
            begins = not self._slots
            self._slots = [each for each in self._slots if each()] + [weakref.ref(slot)]
        if begins:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return slot

    def _watch(self) -> None:
        while True:
            time.sleep(_CHECK_SECONDS)
            for slot in filter(None, [each() for each in self._slots]):
                slot.check()
                if slot.on_loop and slot.checks == self._stuck_checks:
                    self._stuck()


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
