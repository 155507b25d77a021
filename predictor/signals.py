"""Signals from terminals, orchestrators and log rotation, handled from the start of the process.

SIGTERM ends the service. Other signals that should end it are sent again as SIGTERM, so that one handler
does the work. `docs/faults.md` has the table.
"""

import os
import signal
from typing import NoReturn


def _of_this_system(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(each for each in signal.Signals if each.name in names)


ENDING = _of_this_system("SIGHUP", "SIGQUIT")
"""Sent again as SIGTERM. SIGHUP: the terminal was closed. SIGQUIT: Ctrl-\\, or an orchestrator's graceful stop."""
_IGNORED = _of_this_system("SIGUSR1", "SIGUSR2")  # from log rotation; by default they would kill


def prepare() -> None:
    """Handle the signals whose default is to kill the process.

    Call it before any slow import: the first process of a container ignores signals without a handler, so an
    early SIGTERM would be lost. A signal that is already ignored stays ignored, such as SIGHUP under `nohup`.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    for numbers, handler in ((ENDING, _terminate), (_IGNORED, signal.SIG_IGN)):
        for number in numbers:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, handler)


def _end(*_: object) -> NoReturn:
    # No request is in flight yet. SystemExit would not do: a library that is being imported may turn it into an
    # error of its own, as pydantic does.
    os._exit(0)


def _terminate(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)
