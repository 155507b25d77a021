"""Start a real nats-server, which the development requirements install, as a process; and send a message."""

import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo.processes import Child, StartError, free_port, port_in_use, spawn

_SECONDS = 30


class NoNatsServerError(RuntimeError):
    """nats-server is not installed."""

    def __init__(self) -> None:
        super().__init__("nats-server is not installed; `make environments` installs it")


def start_nats(
    folder: Path, port: int | None = None, options: Sequence[str] = (), *, jetstream: bool = True
) -> Child:
    """Start a server on 127.0.0.1, wait until it listens; JetStream's files and the log are in `folder`.

    Raises NoNatsServerError, StartError.
    """
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise NoNatsServerError
    port = port or free_port()
    store = ["--jetstream", "--store_dir", str(folder / "jetstream")] if jetstream else []
    command = [program, "--addr", "127.0.0.1", "--port", str(port), *store, *options]
    child = spawn(command, f"nats://127.0.0.1:{port}", folder / "nats.log", {})
    deadline = time.monotonic() + _SECONDS
    while not port_in_use(port):
        if child.process.poll() is not None or time.monotonic() > deadline:
            child.kill()
            raise StartError(f"nats-server does not listen:\n{child.log.read_text()[-2000:]}")
        time.sleep(0.02)
    return child


class Sender:
    """A connection that sends empty messages (https://docs.nats.io/reference/reference-protocols/nats-protocol)."""

    def __init__(self, port: int) -> None:
        """Connect to a server on 127.0.0.1 without sign-in."""
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._socket.sendall(b'CONNECT {"verbose":false}\r\n')
        self._until_taken()

    def send(self, subject: str) -> None:
        """Send a message, and wait until the server has it."""
        self._socket.sendall(f"PUB {subject} 0\r\n\r\n".encode())
        self._until_taken()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _until_taken(self) -> None:
        self._socket.sendall(b"PING\r\n")
        received = b""
        while b"PONG\r\n" not in received:
            more = self._socket.recv(4096)
            if not more:
                raise ConnectionError(f"the NATS server ended the connection: {received.decode()}")
            received += more
