"""Signals: what a terminal, an orchestrator or a log rotation sends, handled from the first moment on.

SIGTERM is the one signal that ends the service; the others that should end it become SIGTERM, so
that whatever handles it at that time does the rest. `docs/faults.md` has the table.
"""

import signal
import sys
from typing import NoReturn


def _of_this_system(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(each for each in signal.Signals if each.name in names)


ENDING = _of_this_system("SIGHUP", "SIGQUIT")
"""Those that become SIGTERM: the terminal was closed; Ctrl-\\, or another server's word for a graceful end."""
_MEANINGLESS = _of_this_system("SIGUSR1", "SIGUSR2")  # of log rotations; their default is to kill


def prepare() -> None:
    """Handle every signal that has a default to kill and that somebody sends.

    Call it before anything slow is imported: the first process of a container does not die of a
    signal that it does not handle, and a SIGTERM that came then would be lost. What is ignored
    already stays so: under `nohup`, SIGHUP.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    for numbers, handler in ((ENDING, _terminate), (_MEANINGLESS, signal.SIG_IGN)):
        for number in numbers:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, handler)


def _end(*_: object) -> NoReturn:
    sys.exit(0)  # nothing is in flight yet


def _terminate(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)
