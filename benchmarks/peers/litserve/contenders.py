"""LitServe with ONNX Runtime."""

from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import folder, program
from demo.processes import Child

_NAME = "litserve"


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield the only one."""
    check = entry.check(lambda response: response["probabilities"])
    body = msgspec.json.encode(entry.record)
    start = partial(_start, entry)
    yield Contender("LitServe, ONNX Runtime", start, "/predict", body, check, _NAME)


def _start(entry: Entry, port: int) -> Child:
    command = [program(_NAME, "python"), str(folder(_NAME) / "server.py"), str(port)]
    return entry.spawn(command, port, {"MODEL": str(entry.published.files[0])})
