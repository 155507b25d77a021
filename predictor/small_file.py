"""SmallFile: a file of keys or secrets, read again and again while the service runs."""

import asyncio
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_READ_SECONDS = 0.5


class SmallFile:
    """A regular file of at most so many bytes. Every fault of it is an OSError with its `strerror`."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._reading: asyncio.Future[bytes] | None = None
        # Its own: who may ask is not to depend on what other work holds the threads of a shared pool.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="small-file")

    def read(self) -> bytes:
        """What it holds now. Raises OSError."""
        # Not to wait for whoever writes into a pipe, which is then refused.
        descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            content = file.read(self._most_bytes + 1)
        if len(content) > self._most_bytes:
            raise OSError(errno.EFBIG, f"larger than {self._most_bytes} bytes")
        return content

    async def latest(self) -> bytes:
        """The same, read by a thread: a folder on the network may hang. Raises OSError.

        One that hangs is told of as a fault each time, and holds one thread, however often it is asked.
        """
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(self._thread, self.read)
        done, _ = await asyncio.wait({self._reading}, timeout=_READ_SECONDS)
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, f"not read within {_READ_SECONDS} seconds")
        reading, self._reading = self._reading, None
        return reading.result()
