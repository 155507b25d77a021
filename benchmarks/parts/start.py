"""The time from process start to the first correct response, with a cached model."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.cores import Cores
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.servers import BY_HAND, PREDICTOR
from demo.processes import Child, free_port, spawn, start_predictor
from stress.truth import WrongAnswerError

_PAUSE_SECONDS = 0.002
_TIMEOUT_SECONDS = 60

Starts = dict[str, list[float]]  # seconds, by server, one per round
Start = Callable[[], Child]


@dataclass(frozen=True)
class Started:
    """A server, and the seconds from its start to its first response."""

    child: Child
    seconds: float


def run(context: BenchContext) -> Starts:
    """Measure the predictor with a filled cache, and the hand-written service."""
    context.print_step("Starts")
    published = publish(context.mlflow_url, context.folder, "started", [diagnosis(LOGISTIC)])
    with context.scope() as scope:  # fills the cache
        servers.predictor(scope, published)
    request = post("/predict", servers.record_file(context, published).read_bytes())
    ways: Mapping[str, tuple[Start, Callable[[bytes], object]]] = {
        BY_HAND: (partial(_by_hand, context, published), published.truth.first_unversioned),
        PREDICTOR: (partial(_predictor, context, published), published.truth.first),
    }
    starts: Starts = {name: [] for name in ways}
    for _ in range(max(3, context.plan.rounds)):
        with context.plan.exclusive():
            for name, (start, right) in ways.items():
                with first_answer(context.cores, start, request, right) as started:
                    starts[name].append(started.seconds)
    return starts


def _predictor(context: BenchContext, published: Published) -> Child:
    folder = servers.predictor_folder(context, published)
    return start_predictor(folder, free_port(), published.settings)


def _by_hand(context: BenchContext, published: Published) -> Child:
    port = free_port()
    command = servers.reference_command("fastapi_by_hand", port)
    settings = servers.by_hand_settings(published)
    return spawn(command, f"http://127.0.0.1:{port}", context.folder / "started.log", settings)


@contextmanager
def first_answer(
    cores: Cores, start: Start, request: bytes, check: Callable[[bytes], object]
) -> Iterator[Started]:
    """Start a server on its core, yield it after its first response, and stop it at the end.

    Raises BenchError for a wrong response, or without one.
    """
    began = time.perf_counter()
    with cores.pin_children_to_server():
        child = start()
    try:
        while not _answers(child.url, request, check):
            if child.process.poll() is not None or time.perf_counter() - began > _TIMEOUT_SECONDS:
                raise BenchError(f"no response after the start:\n{child.log.read_text()[-1000:]}")
            time.sleep(_PAUSE_SECONDS)
        yield Started(child, time.perf_counter() - began)
    finally:
        child.stop()


def post(path: str, body: bytes) -> bytes:
    """A request as bytes, with `Connection: close`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _answers(url: str, request: bytes, check: Callable[[bytes], object]) -> bool:
    """Whether a request gets status 200. Raises BenchError for a wrong response."""
    address = urlsplit(url)
    with suppress(OSError), socket.create_connection((address.hostname, address.port), 5) as wire:
        wire.sendall(request)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
        if answer.startswith(b"HTTP/1.1 200 "):
            try:
                check(answer.partition(b"\r\n\r\n")[2])
            except WrongAnswerError as error:
                raise BenchError(f"the first response is wrong: {error}") from error
            return True
    return False
