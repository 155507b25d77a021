"""CPU time of the steps of one `/predict` request, while 32 requests come in each tick of the event loop.

`python -m benchmarks.references.steps MODEL BODY`, with a predictor's settings in the environment, prints
`[STEPS, WHOLE]` as its last line: µs per request by step, and for all steps, measured at once.

One process has the service and its clients; the clients send and receive while no time is measured. Functions
and sockets are measured alone. The steps around the functions are measured with connections that have no sockets.
"""

import asyncio
import gc
import json
import math
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import uvloop

from predictor.events import Swapped
from predictor.http.server import Server
from predictor.model.answers import read_answers
from predictor.model.artifact import MLMODEL, Fetched
from predictor.model.decoder import strict_struct
from predictor.model.servable import Servable
from predictor.model_version import Listing, ModelVersion
from predictor.service import Service, WorkerContext, compose, create_api, create_server, wrap
from predictor.settings import Settings

CONNECTIONS = 32
_ROUNDS, _TICKS = 10, 40  # the fastest round counts
_TURNS = 6  # of the event loop: enough to accept, read, compute and write
_RESPONSE_BYTES = 65_536
_Act = Callable[[], Awaitable[None]]


class _OneVersion:
    """A source of one version, without a registry."""

    no_version_reason = ""

    def __init__(self, model: bytes) -> None:
        self._fetched = Fetched.of("model.onnx", {MLMODEL: b"{}", "model.onnx": model}, {})

    async def aspired(self) -> ModelVersion | None:
        return ModelVersion("steps", "1", "", 0)

    def expect_change(self) -> None:
        """Not used."""

    async def listing(self, _: Sequence[str]) -> Listing:
        return Listing((), {}, {}, more=False)

    async def fetch(self, _: ModelVersion) -> Fetched:
        return self._fetched

    async def fingerprint(self, _: ModelVersion) -> str | None:
        return None

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        return None

    async def remember(self, *_: object) -> None:
        """Store nothing."""

    async def forget(self) -> None:
        """Store nothing."""

    async def close(self) -> None:
        """There are no connections."""


class _Replies(asyncio.Protocol):
    """Reads requests; `reply` answers those of all connections."""

    waiting: ClassVar[list[Any]] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        self.waiting.append(self._transport)

    @classmethod
    def reply(cls, response: bytes) -> None:
        for transport in cls.waiting:
            transport.write(response)
        cls.waiting.clear()


class _Transport(asyncio.Transport):
    """A transport without a socket."""

    def write(self, _: Any) -> None:
        """Drop the response."""

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """There is no socket."""

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, *_: object, **__: object) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """There is nothing to read."""

    def resume_reading(self) -> None:
        """There is nothing to read."""


class _Clients:
    """Connected sockets that send the same request, and read its responses."""

    def __init__(self, address: Any, request: bytes) -> None:
        self._sockets = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        self._request = request
        self.response = b""

    @classmethod
    async def accepted(cls, listener: Any, request: bytes) -> "_Clients":
        """Clients whose connections the server has accepted."""
        clients = cls(listener.getsockname(), request)
        await asyncio.sleep(0.1)
        return clients

    async def send(self) -> None:
        for each in self._sockets:
            each.sendall(self._request)

    async def receive(self) -> None:
        """Read one response from each connection; keep the last. Raises BlockingIOError without one."""
        for each in self._sockets:
            self.response = each.recv(_RESPONSE_BYTES, socket.MSG_DONTWAIT)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


async def steps(model: bytes, body: bytes) -> tuple[dict[str, float], float]:
    """CPU time of each step, in µs per request, and of all of them, measured at once."""
    swapped = asyncio.Event()
    observers = [lambda event: swapped.set() if isinstance(event, Swapped) else None]
    service = compose(Settings(), WorkerContext(observers=observers), source=_OneVersion(model))
    server = create_server(wrap(create_api(service), service), service)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await swapped.wait()
    gc.collect()
    gc.freeze()
    functions = _functions(service, service.reconciler.require_serving(), body)
    request = _request(body)
    idle = await _fastest(_nothing, _turns, _nothing)
    whole, response = await _predictions(listener, request)
    read, write = await _socket_calls(request, response)
    received, computed = await _connections(server, request)
    server.should_exit = True
    await running
    found = {
        "read from the socket": read - idle,
        "look up the head, queue the body": received,
        **functions,
        "write the response's head, count the request, and the rest": computed
        - idle
        - sum(functions.values()),
        "write to the socket": write - idle,
    }
    return found, whole - idle


def _request(body: bytes) -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _predictions(listener: Any, request: bytes) -> tuple[float, bytes]:
    """CPU time of predictions over sockets, and a response. Raises ValueError for another than 200."""
    clients = await _Clients.accepted(listener, request)
    spent = await _fastest(clients.send, _turns, clients.receive)
    clients.close()
    if not clients.response.startswith(b"HTTP/1.1 200 "):
        raise ValueError(clients.response.decode())
    return spent, clients.response


async def _socket_calls(request: bytes, response: bytes) -> tuple[float, float]:
    """CPU time of reading requests and of writing responses, with nothing between."""
    server = await asyncio.get_running_loop().create_server(_Replies, "127.0.0.1", 0)
    clients = await _Clients.accepted(server.sockets[0], request)

    async def send() -> None:
        await clients.send()
        await _turns()

    async def reply() -> None:
        _Replies.reply(response)
        await _turns()

    async def end() -> None:
        await reply()
        await clients.receive()

    read = await _fastest(clients.send, _turns, end)
    write = await _fastest(send, reply, clients.receive)
    clients.close()
    server.close()
    return read, write


async def _connections(server: Server, request: bytes) -> tuple[float, float]:
    """CPU time without sockets: to receive requests, and to compute and write their responses."""
    state = {"server_state": server.server_state, "app_state": server.lifespan.state}
    connections = [
        server.config.http_protocol_class(config=server.config, **state)  # type: ignore[call-arg]
        for _ in range(CONNECTIONS)
    ]
    for each in connections:
        each.connection_made(_Transport())

    async def receive() -> None:
        for each in connections:
            each.data_received(request)

    received = await _fastest(_nothing, receive, _turns)
    computed = await _fastest(receive, _turns, _nothing)
    for each in connections:
        each.connection_lost(None)
    return received, computed


def _functions(service: Service, servable: Servable, body: bytes) -> dict[str, float]:
    """CPU time of the functions that compute a tick."""
    bodies, names = [body] * CONNECTIONS, servable.signature.outputs.names
    decode = msgspec.json.Decoder(strict_struct(servable.signature.features)).decode
    rows, _ = servable.decoder.records(bodies)
    outputs = servable.run(rows)
    answers = read_answers(servable.signature, outputs)
    decoded = _seconds(lambda: [*map(decode, bodies)])
    read = _seconds(lambda: servable.decoder.records(bodies))
    return {
        "decode the JSON": decoded,
        "check the values, pack them as float32": read - decoded,
        "ONNX Runtime": _seconds(lambda: servable.compute(names, servable.signature.feed(rows))),
        "check the outputs": _seconds(lambda: read_answers(servable.signature, outputs)),
        "write the answer as JSON": _seconds(lambda: servable.encoder.each(answers, {})),
        "count the prediction": _seconds(lambda: service.metrics.ran(servable, answers, 1e-3)),
    }


async def _nothing() -> None:
    """Do nothing."""


async def _turns() -> None:
    """Let the event loop read, compute and write."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def _fastest(before: _Act, measured: _Act, after: _Act) -> float:
    """CPU time of `measured`, in µs per request: the fastest of several rounds.

    `before` and `after` are called around it, and not measured.
    """
    best = math.inf
    for _ in range(_ROUNDS):
        spent = 0.0
        for _ in range(_TICKS):
            await before()
            began = time.thread_time()
            await measured()
            spent += time.thread_time() - began
            await after()
        best = min(best, spent / _TICKS)
    return best / CONNECTIONS * 1e6


def _seconds(function: Callable[[], object]) -> float:
    """As `_fastest`, for a function."""
    best = math.inf
    for _ in range(_ROUNDS):
        began = time.thread_time()
        for _ in range(_TICKS):
            function()
        best = min(best, (time.thread_time() - began) / _TICKS)
    return best / CONNECTIONS * 1e6


if __name__ == "__main__":
    contents = [Path(name).read_bytes() for name in sys.argv[1:3]]
    print(json.dumps(uvloop.run(steps(*contents))))
