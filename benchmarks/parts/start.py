"""From the start of the process to the first right answer, with the model at hand."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from benchmarks import servers
from benchmarks.cores import Cores
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.servers import BY_HAND, PREDICTOR
from benchmarks.stage import Stage
from demo.processes import Child, free_port, spawn, start_predictor
from stress.truth import WrongAnswerError

_PAUSE_SECONDS = 0.002
_LONGEST_SECONDS = 60

Starts = dict[str, list[float]]  # seconds, by server, one a round
Start = Callable[[], Child]


@dataclass(frozen=True)
class Started:
    """A server that has answered, and the seconds from its start until then."""

    child: Child
    seconds: float


def run(stage: Stage) -> Starts:
    """The predictor with its cache filled, and FastAPI by hand."""
    stage.say("Starts")
    published = publish(stage.mlflow_url, stage.folder, "started", [diagnosis(LOGISTIC)])
    with stage.scene() as scene:  # the cache is filled by a start that is not measured
        servers.predictor(scene, published)
    request = post("/predict", servers.record_file(stage, published).read_bytes())
    ways: Mapping[str, tuple[Start, Callable[[bytes], object]]] = {
        BY_HAND: (partial(_by_hand, stage, published), published.truth.first_unversioned),
        PREDICTOR: (partial(_predictor, stage, published), published.truth.first),
    }
    starts: Starts = {name: [] for name in ways}
    for _ in range(max(3, stage.plan.rounds)):
        with stage.plan.quiet():
            for name, (start, right) in ways.items():
                with first_answer(stage.cores, start, request, right) as started:
                    starts[name].append(started.seconds)
    return starts


def _predictor(stage: Stage, published: Published) -> Child:
    folder = servers.predictor_folder(stage, published)
    return start_predictor(folder, free_port(), published.settings)


def _by_hand(stage: Stage, published: Published) -> Child:
    port = free_port()
    command = servers.reference_command("fastapi_by_hand", port)
    settings = servers.by_hand_settings(published)
    return spawn(command, f"http://127.0.0.1:{port}", stage.folder / "started.log", settings)


@contextmanager
def first_answer(
    cores: Cores, start: Start, request: bytes, check: Callable[[bytes], object]
) -> Iterator[Started]:
    """Start a server on its core, and give it once it has answered; it is stopped on the way out.

    Raises BenchError where the answer is wrong, or none comes.
    """
    began = time.perf_counter()
    with cores.of_the_server():
        child = start()
    try:
        while not _answers(child.url, request, check):
            if child.process.poll() is not None or time.perf_counter() - began > _LONGEST_SECONDS:
                raise BenchError(f"no answer after the start:\n{child.log.read_text()[-1000:]}")
            time.sleep(_PAUSE_SECONDS)
        yield Started(child, time.perf_counter() - began)
    finally:
        child.stop()


def post(path: str, body: bytes) -> bytes:
    """A request as bytes, on a connection that is closed after it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _answers(url: str, request: bytes, check: Callable[[bytes], object]) -> bool:
    """Whether one request gets 200. Raises BenchError where that answer is wrong."""
    address = urlsplit(url)
    with suppress(OSError), socket.create_connection((address.hostname, address.port), 5) as wire:
        wire.sendall(request)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
        if answer.startswith(b"HTTP/1.1 200 "):
            try:
                check(answer.partition(b"\r\n\r\n")[2])
            except WrongAnswerError as error:
                raise BenchError(f"the first answer is wrong: {error}") from error
            return True
    return False
