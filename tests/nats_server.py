"""A real nats-server, from the development requirements."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.processes import Child, free_port
from scale.nats_server import start_nats
from tests.required import development_program


@dataclass
class NatsServer:
    """A server on one port, which can be stopped and started again."""

    folder: Path
    port: int
    options: Sequence[str]
    jetstream: bool
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        development_program("nats-server")
        self.child = start_nats(self.folder, self.port, self.options, jetstream=self.jetstream)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()


@contextmanager
def nats_server(
    folder: Path, *options: str, jetstream: bool = True, running: bool = True
) -> Iterator[NatsServer]:
    """A server that runs within the `with` block; `running=False`: only after `start`."""
    server = NatsServer(folder, free_port(), options, jetstream)
    try:
        if running:
            server.start()
        yield server
    finally:
        server.stop()
