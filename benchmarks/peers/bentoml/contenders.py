"""BentoML with ONNX Runtime."""

from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import folder, program
from demo.processes import Child

_NAME = "bentoml"


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield the only one."""
    check = entry.check(lambda response: response)
    body = msgspec.json.encode({"record": entry.record})
    start = partial(_start, entry)
    yield Contender("BentoML, ONNX Runtime", start, "/predict", body, check, _NAME)


def _start(entry: Entry, port: int) -> Child:
    command = [
        program(_NAME, "bentoml"), "serve", "service:Classifier",
        "--working-dir", str(folder(_NAME)), "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    settings = {"MODEL": str(entry.published.files[0]), "BENTOML_DO_NOT_TRACK": "true"}
    return entry.spawn(command, port, settings)
