"""WorkerProcess: a worker as its supervisor sees it, a process and a line to it."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from predictor.workers.post import Post


class WorkerProcess:
    """A process that was started, until it has ended."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        line: asyncio.StreamWriter,
        hears: asyncio.Task[None],
    ) -> None:
        self._process = process
        self._line = line
        self._hears = hears

    @classmethod
    async def start(cls, post: Post, hear: Callable[[bytes], None]) -> "WorkerProcess":
        """Start a worker at a post; `hear` is called with each line that it tells. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, line = await asyncio.open_connection(sock=ours)
            post = replace(post, line=theirs.fileno())
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "predictor.workers.worker", str(post),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(post.listener, post.memory, post.line),
                    # Ctrl-C is for the supervisor alone: a worker that is told twice to end
                    # drops its requests.
                    process_group=0,
                )  # fmt: skip
            except OSError:
                line.close()
                raise
        return cls(process, line, asyncio.create_task(_hear(reader, hear)))

    def tell(self, line: bytes) -> None:
        """Hand on what another worker told."""
        self._line.write(line)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit code, once it has ended; negative for a signal."""
        code = await self._process.wait()
        self._hears.cancel()
        self._line.close()
        return code


async def _hear(reader: asyncio.StreamReader, hear: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):  # it has ended
        async for line in reader:
            hear(line)
