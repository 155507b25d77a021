"""Tracebacks for the log: where an exception came from and what it is, and nothing of what it says.

What an exception says is made of what the code had in its hands, which may be a patient's: ONNX
Runtime quotes the text that it cannot make a number of, asyncio the arguments of a call.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType

_MOST = 10  # exceptions of one chain or group

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def without_messages(exc_info: ExcInfo) -> str:
    """The frames of an exception and of those that it came from, the first one first, by type."""
    told = [*zip(range(_MOST), _chain(exc_info[1]), strict=False)]
    return "\n".join(_one(error) for _, error in reversed(told))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, those in it if it is a group, and the one that it came from, with its own."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _chain(each)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _chain(before)


def _one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    return f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}"
