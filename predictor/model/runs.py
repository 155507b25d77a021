"""ONNX Runtime calls that a thread watches, and stops when they take too long; and its error messages."""

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

_LOOK_SECONDS = 0.1
_LOOP_SECONDS = 0.5
"""What a call on the event loop may take. The rows are then computed again, in a thread."""
_STUCK_SECONDS = 30.0
"""What may pass after that until the call ends; the supervisor waits as long for a worker that hangs."""


class _Slot:
    """The calls of one thread, one after the other. `number` is odd while one is in progress."""

    def __init__(self, *, on_loop: bool, most_looks: int) -> None:
        self.on_loop = on_loop
        self.options = new_options()
        self.number = 0
        self.stopped = -1
        self._most_looks = most_looks
        self._seen = -1
        self.looks = 0

    def look(self) -> None:
        """Stop the call that is in progress once it was seen so often."""
        number = self.number
        if number % 2 == 0 or number != self._seen:
            self._seen, self.looks = number, 0
            return
        self.looks += 1
        if self.looks == self._most_looks:
            self.stopped = number  # before the next line, which ends the call
            self.options.terminate = True


def end_process() -> None:
    """End the process, for whoever starts it again: its event loop waits for a call that does not end."""
    EVENT_LOOP_STUCK.log(seconds=_STUCK_SECONDS)
    os._exit(1)


class WatchedRuns:
    """Makes calls, in any thread. The one that watches is started with the first call."""

    def __init__(
        self,
        seconds: float,
        stuck: Callable[[], None] = end_process,
        stuck_seconds: float = _STUCK_SECONDS,
    ) -> None:
        """`seconds` bound a call in a thread.

        `stuck` is called, in a thread, where a call on the event loop goes on for `stuck_seconds` after
        it was told to end.
        """
        self._seconds = seconds
        self._stuck = stuck
        self._stuck_looks = round((_LOOP_SECONDS + stuck_seconds) / _LOOK_SECONDS)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._slots: list[weakref.ref[_Slot]] = []

    def __call__(self, run: Run, names: list[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        """Make a call. Raises what it raises, or InferenceTimeout."""
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
        # The one before it was to be stopped, and ended by itself at that moment.
        return self(run, names, feed)

    def _new_slot(self) -> _Slot:
        on_loop = _on_loop()
        seconds = min(_LOOP_SECONDS, self._seconds) if on_loop else self._seconds
        slot = _Slot(on_loop=on_loop, most_looks=max(1, round(seconds / _LOOK_SECONDS)))
        with self._lock:
            begins = not self._slots
            self._slots = [each for each in self._slots if each()] + [weakref.ref(slot)]
        if begins:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return slot

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            for slot in filter(None, [each() for each in self._slots]):
                slot.look()
                if slot.on_loop and slot.looks == self._stuck_looks:
                    self._stuck()


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
