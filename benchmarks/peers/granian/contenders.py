"""Granian with empty applications: references beside uvicorn's, for both of its protocols."""

from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import program
from benchmarks.servers import check_empty
from demo.processes import Child

_NAME = "granian"
_APPLICATIONS = {
    # asginl: ASGI without the lifespan protocol, which the application does not speak.
    "empty ASGI app, Granian": ("asginl", "benchmarks.references.empty:app"),
    "empty RSGI app, Granian": ("rsgi", "benchmarks.peers.granian.empty_rsgi:app"),
}


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield both."""
    body = msgspec.json.encode(entry.record)
    for name, (interface, application) in _APPLICATIONS.items():
        start = partial(_start, entry, interface, application)
        yield Contender(name, start, "/predict", body, check_empty, _NAME, reference=True)


def _start(entry: Entry, interface: str, application: str, port: int) -> Child:
    command = [
        program(_NAME, "granian"), application, "--interface", interface,
        "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--loop", "uvloop", "--http", "1", "--no-ws", "--log-level", "warning",
    ]  # fmt: skip
    return entry.spawn(command, port, {})
