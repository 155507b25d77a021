"""More is asked than can be answered: right answers or 503 with Retry-After, and then it is over."""

import json
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from tests.end_to_end.parts import Registry, Service, wait_until
from tests.hostile.parts import Bystander, Target, is_problem
from tests.hostile.wire import Response, post, receive, request

pytestmark = pytest.mark.whole

SLOWEST = 30.0  # seconds; so wide that only a queue without a bound reaches it
CLIENTS = 48


@pytest.fixture
def overloaded(registry: Registry, serve: Callable[..., Service]) -> Callable[..., Target]:
    """A predictor with small bounds."""

    def start(**settings: str) -> Target:
        registry.stage("1", "Production")
        service = serve(registry, **settings)
        service.until_serving("1")
        return Target(service, registry.reference("1"), "1", service.example())

    return start


def at_once(count: int, ask: Callable[[int], None]) -> None:
    """`ask(0)` to `ask(count - 1)`, each in a thread, all let go together."""
    faults: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            ready.wait(30)
            ask(number)
        except BaseException as error:  # noqa: BLE001  told in the main thread
            faults.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults, faults[:3]


class Answers:
    """What many clients got: every one right, or 503."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.accepted: list[float] = []  # seconds each
        self.refused = 0

    def ask(self, number: int, all_are_here: threading.Barrier, times: int = 10) -> None:
        """Ask again and again, on a new connection each time; leave the first together with all."""
        for turn in range(times):
            record = self._target.varied(number + turn)
            body, leave = json.dumps(record).encode(), all_are_here.wait if turn == 0 else None
            started = time.perf_counter()
            got = self._target.converse(post(body), answers=1, before_leaving=leave)
            # A connection that is refused may be closed before it is read from.
            self.add(got.responses[0] if got.responses else None, record, started)

    def add(self, response: Response | None, record: dict[str, float], started: float) -> None:
        if response is not None and response.status == 200:
            assert self._target.is_right(response, record)
            self.accepted.append(time.perf_counter() - started)
            return
        assert response is None or (response.status == 503 and is_problem(response))
        self.refused += 1

    def __str__(self) -> str:
        slowest = max(self.accepted, default=0) * 1000
        return f"{len(self.accepted)} answered, the slowest in {slowest:.0f} ms; {self.refused} refused"


def test_connections_beyond_the_limit_are_refused(overloaded: Callable[..., Target]) -> None:
    """503 with Retry-After and a close; those within it are served; a place that is left is given."""
    target = overloaded(PREDICTOR_MAX_CONNECTIONS="8")
    target.service.http.close()
    wait_until(lambda: target.converse(request(), answers=1).statuses == [200], "there is room")
    with ExitStack() as stack:
        within = [
            stack.enter_context(closing(socket.create_connection(target.address, timeout=20)))
            for _ in range(8)
        ]
        for client in within:  # each is known to be served once it is answered
            client.sendall(request())
            assert receive(client).status == 200
        beyond = target.converse()
        assert (beyond.statuses, beyond.closed) == ([503], True)
        assert is_problem(beyond.responses[0])
        assert "connections" in beyond.responses[0].json()["detail"]
        for client in within:
            client.sendall(post(target.body))
            assert target.is_right(receive(client), target.record)
    wait_until(lambda: target.converse(request(), answers=1).statuses == [200], "there is room")
    metrics = target.converse(request(path="/metrics"), answers=1).responses[0].body.decode()
    assert 'predictor_requests_total{code="503",endpoint="other"}' in metrics


def test_reset_connections_leave_no_memory(overloaded: Callable[..., Target]) -> None:
    """Each sends a head of 31 KB, reads its answer and leaves with a reset: 155 MB in all, none of which stays."""
    target = overloaded()
    head = request("GET", "/health", "A: " + "a" * 31_000)
    before = target.resident_bytes()
    for _ in range(5000):
        with socket.create_connection(target.address, timeout=20) as client:
            client.sendall(head)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    grown = target.resident_bytes() - before
    print(f"\nresident memory grew by {grown >> 20} MiB")
    assert grown < 60 << 20


def test_more_clients_than_connections(overloaded: Callable[..., Target]) -> None:
    """Every request gets a right answer or a refusal, accepted ones soon, and the overload passes."""
    target = overloaded(PREDICTOR_MAX_CONNECTIONS="12")
    target.service.http.close()
    answers = Answers(target)
    # However slow the machine is, once at least all are there together.
    all_are_here = threading.Barrier(CLIENTS, timeout=SLOWEST)
    at_once(CLIENTS, lambda number: answers.ask(number, all_are_here))
    print(f"\n{CLIENTS} clients, 12 connections: {answers}")
    assert answers.accepted
    assert answers.refused
    assert max(answers.accepted) < SLOWEST
    wait_until(lambda: target.converse(request(), answers=1).statuses == [200], "there is room")
    for _ in range(20):
        target.serves_as_before()


def test_more_records_than_may_wait(overloaded: Callable[..., Target]) -> None:
    """What comes in one tick beyond the bound is refused, the rest answered; the connection stays."""
    target = overloaded(PREDICTOR_MAX_QUEUED_ROWS="4")
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(socket.create_connection(target.address, timeout=20)))
            for _ in range(CLIENTS)
        ]
        answers = Answers(target)
        pid = target.service.child.process.pid
        for _ in range(5):
            os.kill(pid, signal.SIGSTOP)  # so that all have come when it looks
            for number, client in enumerate(clients):
                client.sendall(post(json.dumps(target.varied(number)).encode()))
            started = time.perf_counter()
            os.kill(pid, signal.SIGCONT)
            for number, client in enumerate(clients):
                answers.add(receive(client), target.varied(number), started)
        print(f"\n{CLIENTS} clients, 4 records may wait: {answers}")
        assert answers.accepted
        assert answers.refused
        for client in clients:  # one after the other there is room for each
            client.sendall(post(target.body))
            assert target.is_right(receive(client), target.record)


def test_more_batches_than_may_wait(overloaded: Callable[..., Target]) -> None:
    """Large batches are refused beyond the bound, those within answered in order, single ones go on."""
    target = overloaded(PREDICTOR_MAX_QUEUED_BATCHES="2")
    records = [target.varied(number) for number in range(50)]
    expected = [target.reference.probabilities(record) for record in records]
    batch = post(json.dumps({"instances": records * 16}).encode(), path="/predict/batch")
    accepted: list[float] = []
    refused: list[Response] = []

    def ask(_: int) -> None:
        for _ in range(4):
            started = time.perf_counter()
            (response,) = target.converse(batch, answers=1).responses
            if response.status == 200:
                accepted.append(time.perf_counter() - started)
                answers = [answer["probabilities"] for answer in response.json()["predictions"]]
                assert len(answers) == 800
                assert answers[:50] == [pytest.approx(each, abs=1e-6) for each in expected]
            else:
                assert response.status == 503
                assert is_problem(response)
                refused.append(response)

    bystander = Bystander(target)
    at_once(CLIENTS, ask)
    bystander.until_answered_again()
    bystander.stop()
    print(
        f"\n{CLIENTS} clients, 2 batches may wait: {len(accepted)} batches answered, the slowest in "
        f"{max(accepted) * 1000:.0f} ms; {len(refused)} refused; {bystander.answered} single records"
    )
    metrics = target.converse(request(path="/metrics"), answers=1).responses[0].body.decode()
    seconds = {
        part: float(re.findall(rf'seconds_{part}{{endpoint="/predict"}} (\S+)', metrics)[0])
        for part in ("sum", "count")
    }
    print(f"a single record took the service {seconds['sum'] / seconds['count'] * 1000:.1f} ms")
    assert accepted
    assert refused
    assert max(accepted) < SLOWEST
    (response,) = target.converse(batch, answers=1).responses
    assert response.status == 200
