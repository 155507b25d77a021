"""Giving memory back to the system that the C library keeps.

A large model is freed in many small pieces, and glibc keeps what they were in for later: after a
version of 62 MB, 750 MB of a process that serves a small one. `malloc_trim` gives all of it back. Other
C libraries have no such call, and need none.
"""

import ctypes
import threading
import weakref
from collections.abc import Callable

_SECONDS = 1.0  # until what was let go is freed


def give_back_soon() -> None:
    """Give back, in a thread, what was freed by then."""
    if (trim := _malloc_trim()) is not None:
        timer = threading.Timer(_SECONDS, trim, [0])
        timer.name = "give-back"
        timer.daemon = True
        timer.start()


def give_back_after(owner: object) -> None:
    """Do so once nothing refers to `owner` any more."""
    weakref.finalize(owner, give_back_soon).atexit = False


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim
