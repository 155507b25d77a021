"""What can go wrong between a predictor and its registry, and a world in which it does."""

import asyncio
import contextlib
import json
import math
import re
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.end_to_end.parts import Service, wait_until
from tests.predictor import conftest
from tests.predictor.graphs import GOOD, METADATA, classifier
from tests.predictor.parts import http

REGISTRY, ARTIFACTS = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/"
POLL_SECONDS = 0.1
HUGE = 100_000_000  # bytes
NEVER = 600  # seconds; a predictor that waits as long has hung


@dataclass(frozen=True)
class Exchange:
    """One request that came through the proxy, and the way back to who asked."""

    head: bytes
    upstream: int
    writer: asyncio.StreamWriter

    async def real_answer(self) -> bytes:
        """What the real server says, head and body."""
        reader, upstream = await asyncio.open_connection("127.0.0.1", self.upstream)
        upstream.write(re.sub(rb"(?i)connection: keep-alive", b"Connection: close", self.head))
        try:
            return await reader.read()
        finally:
            upstream.close()


Fault = Callable[[Exchange], Awaitable[None]]


class Proxy:
    """Stands before a server, and passes on what it says until it is told to misbehave.

    Before it is entered and after it is left, connections to its port are refused, as by a server that is down.
    """

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.asked: list[str] = []
        self._upstream = upstream
        self._port = port
        self.url = f"http://127.0.0.1:{port}"
        self._fault: tuple[str, Fault] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def misbehave(self, where: str, fault: Fault) -> None:
        """From now on, requests whose path holds `where` meet this fault."""
        self._fault = (where, fault)

    def behave(self) -> None:
        """From now on, everything is passed on."""
        self._fault = None

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            self.asked.append(path)
            where, fault = self._fault or ("", passed_on)
            await (fault if where in path else passed_on)(Exchange(head, self._upstream, writer))
            await writer.drain()
        writer.close()


async def passed_on(exchange: Exchange) -> None:
    exchange.writer.write(await exchange.real_answer())


def replied(raw: bytes) -> Fault:
    """These bytes, whatever was asked."""

    async def reply(exchange: Exchange) -> None:
        exchange.writer.write(raw)

    return reply


def changed(change: Callable[[bytes, bytes], bytes]) -> Fault:
    """The real answer, made into another one from its head and its body."""

    async def reply(exchange: Exchange) -> None:
        head, _, body = (await exchange.real_answer()).partition(b"\r\n\r\n")
        exchange.writer.write(change(head, body))

    return reply


def cut(_head: bytes, body: bytes) -> bytes:
    """Half of it, by an honest length."""
    return http("200 OK", body[: len(body) // 2])


def length_off_by(more: int) -> Callable[[bytes, bytes], bytes]:
    def change(_head: bytes, body: bytes) -> bytes:
        said = f"Content-Length: {len(body) + more}\r\nConnection: close\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\n" + said.encode() + body

    return change


def dated(date: str) -> Callable[[bytes, bytes], bytes]:
    """By a clock of its own; `date` as in RFC 9110."""

    def change(head: bytes, body: bytes) -> bytes:
        return (
            re.sub(rb"(?i)\r\ndate:[^\r]*", b"", head) + f"\r\nDate: {date}\r\n\r\n".encode() + body
        )

    return change


async def slowly(exchange: Exchange) -> None:
    """The real answer, byte by byte."""
    for byte in await exchange.real_answer():
        exchange.writer.write(bytes([byte]))
        await exchange.writer.drain()
        await asyncio.sleep(0.1)


async def never(exchange: Exchange) -> None:
    await asyncio.sleep(NEVER)


async def reset(exchange: Exchange) -> None:
    """As when the other side crashed: RST instead of FIN."""
    connection: socket.socket = exchange.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def huge(exchange: Exchange) -> None:
    """JSON without end, as far as anyone can tell from its beginning."""
    exchange.writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n{{".encode())
    for _ in range(HUGE // 1_000_000):
        exchange.writer.write(b" " * 1_000_000)
        await exchange.writer.drain()


class Elsewhere:
    """The target of a redirect, which notices every request."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def redirect(self) -> Fault:
        return replied(http("302 Found", b"", f"Location: {self.url}"))

    def was_contacted(self) -> bool:
        try:
            self._listener.accept()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()


class Registered(conftest.Registered):
    """The registry, with what only the tests of faults do to it."""

    def rename(self, name: str, new_name: str) -> None:
        self._call("POST", "/registered-models/rename", name=name, new_name=new_name)

    def put(self, uri: str, files: Mapping[str, bytes]) -> None:
        """Add or replace files of an artifact, through the server's proxy."""
        for path, content in files.items():
            place = f"{ARTIFACTS}artifacts/{uri.removeprefix('mlflow-artifacts:/')}/{path}"
            self._client.put(place, content=content).raise_for_status()

    def artifact(self, files: Mapping[str, bytes]) -> tuple[str, str]:
        """These files as a run's artifacts; returns run id and URI."""
        with tempfile.TemporaryDirectory() as empty:
            run_id, uri = self.upload(Path(empty))
        self.put(uri, files)
        return run_id, uri


def mlmodel(data: Any = "model.onnx", **more: Any) -> bytes:
    return yaml.safe_dump({"flavors": {"onnx": {"data": data}}, **more}).encode()


def probability(slope: float, record: Mapping[str, float] = GOOD) -> float:
    """What `linear(slope)` answers for malignant, by hand."""
    score = slope * record["mean_radius"] - record["mean_texture"]
    return 1 / (1 + math.exp(-2 * score))


def linear(slope: float = 1.0, **metadata: Any) -> bytes:
    """A graph as our trainer exports it; `metadata` replaces what it says of itself."""
    malignant = probability(slope)
    example = {
        "record": GOOD, "prediction": "malignant" if slope > 0 else "benign",
        "probabilities": {"malignant": malignant, "benign": 1 - malignant},
    }  # fmt: skip
    own = {**METADATA, "recorded_examples": [example], **metadata}
    return classifier((slope, -1.0), metadata=own)


@dataclass
class Asking:
    """A client that asks without a pause, and compares each answer with the version it names."""

    url: str
    slopes: Mapping[str, float]
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._goes_on = True
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._goes_on = False
        self._thread.join(30)

    def check(self) -> None:
        """That it got answers since it was called last, and none that was lost or wrong."""
        before, self.answers = self.answers, 0
        assert before > 0, "the client got no answer"
        wait_until(lambda: self.answers > 1, "the client gets answers")
        wrong, self.wrong = self.wrong, []
        assert not wrong, f"lost or wrong: {wrong[:5]}"

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while self._goes_on:
                try:
                    self._compare(client.post("/predict", json=GOOD))
                except Exception as error:  # noqa: BLE001  whatever it is, the test reports it
                    self.wrong.append(repr(error))
                time.sleep(0.01)

    def _compare(self, response: httpx.Response) -> None:
        said = response.json()
        slope = self.slopes.get(str(said.get("model_version")))
        known = response.status_code == 200 and slope is not None
        if not known or abs(said["probabilities"]["malignant"] - probability(slope)) > 1e-6:
            self.wrong.append(response.text)
        self.answers += 1


@dataclass
class World:
    """One registered model, the predictor that follows it, and the proxy between them."""

    registered: Registered
    name: str
    proxy: Proxy
    service: Service
    slopes: dict[str, float] = field(default_factory=dict)
    uploaded: list[tuple[str, str]] = field(default_factory=list)

    def version(self, files: Mapping[str, bytes], **tags: str) -> str:
        """One more version with these files; returns its number."""
        run_id, uri = self.registered.artifact(files)
        return self.registered.version(self.name, uri, run_id, **tags)

    def good(self) -> str:
        """One more version that is fit to serve, and answers otherwise than the one before."""
        which = len(self.slopes) % 2
        slope = (0.5, 1.5)[which]
        if which == len(self.uploaded):
            files = {"MLmodel": mlmodel(), "model.onnx": linear(slope)}
            self.uploaded.append(self.registered.artifact(files))
        run_id, uri = self.uploaded[which]
        number = self.registered.version(self.name, uri, run_id)
        self.slopes[number] = slope
        return number

    def promote(self, number: str) -> str:
        self.registered.stage(self.name, int(number), "Production")
        return number

    def registry_fails(self, fault: Fault) -> None:
        """It fails from now on. A question that was on its way before has its answer then."""
        self.proxy.misbehave(REGISTRY, fault)
        wait_until(lambda: self.model()["registry"]["fault"] is not None, "the fault is told")

    def serves(self, number: str) -> None:
        """Return once this version serves, and nothing is left of the last failure."""
        self.service.until_serving(number)
        wait_until(lambda: self.model()["last_failure"] is None, "the failure is forgotten")

    def model(self) -> dict[str, Any]:
        return dict(self.service.http.get("/model").json())

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where it has no such series yet."""
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        series = f"{name}{{{inner}}} " if labels else f"{name} "
        lines = self.service.http.get("/metrics").text.splitlines()
        return next((float(x.removeprefix(series)) for x in lines if x.startswith(series)), 0.0)

    def mark(self) -> int:
        """A place in the log."""
        return len(self._lines())

    def logged(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        """What was logged of this kind since a mark."""
        found = (line for line in self._lines()[since:] if f'"{event}"' in line)
        return [line for line in map(json.loads, found) if line["event"] == event]

    def _lines(self) -> list[str]:
        return self.service.child.log.read_text().split("\n")[:-1]


@contextlib.contextmanager
def failing(world: World, outcome: str, reason: str) -> Iterator[None]:
    """What ops see while the registry fails inside of it, and after."""
    mark, before = world.mark(), world.model()
    polls = world.metric("predictor_registry_polls_total", outcome=outcome)
    yield
    wait_until(lambda: world.model()["registry"]["fault"] is not None, "the fault is told")
    told, success = world.model(), world.metric("predictor_registry_last_success_timestamp_seconds")
    assert reason in told["registry"]["fault"]
    assert not told["registry"]["reachable"]
    assert told["registry"]["last_answer_age_seconds"] > 0
    assert (told["serving"], told["desired"]) == (before["serving"], before["desired"])
    assert world.metric("predictor_registry_polls_total", outcome=outcome) > polls
    assert world.metric("predictor_registry_last_success_timestamp_seconds") == success
    assert success == pytest.approx(time.time(), abs=600)
    assert world.service.http.get("/ready").status_code == 200
    (line,) = world.logged(f"registry_{outcome}", mark)
    assert (line["level"], line["serving"]) == ("warning", told["serving"]["model_version"])
    assert reason in line["reason"]


def recovers(world: World, promoted: str, mark: int) -> None:
    """What was promoted while the registry could not be asked is served, and the log says why now."""
    world.serves(promoted)
    assert world.model()["registry"]["reachable"]
    assert world.model()["registry"]["fault"] is None
    assert promoted in [line["desired"] for line in world.logged("registry_answered", mark)]
