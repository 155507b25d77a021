"""Interrupt: tells whatever a thread is busy with that nobody waits for it any more."""

from collections.abc import Callable
from threading import Lock


class Interrupt:
    """Carries one message, once, from the one who gave up to the one who works."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._actions: list[Callable[[], None]] = []
        self._raised = False

    def on_raise(self, action: Callable[[], None]) -> None:
        """Run `action` when it is raised, at once if it was. It must be quick and safe in any thread."""
        with self._lock:
            self._actions.append(action)
            raised = self._raised
        if raised:
            action()

    def throw(self) -> None:
        """Run what was registered, and whatever will be."""
        with self._lock:
            self._raised = True
            actions = list(self._actions)
        for action in actions:
            action()
