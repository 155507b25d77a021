"""Several processes on one port: counted, promoted, replaced and ended as if they were one."""

import json
import os
import re
import resource
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.parts import Registry, Service, register_again, starter, wait_until
from tests.hostile.parts import Target
from tests.hostile.test_shutdown import Flow, terminated
from tests.hostile.wire import Response, post, receive, request
from tests.shared import Server

pytestmark = pytest.mark.whole

CLIENTS = 16
HUNG_BEATS = 4  # a second each
Samples = dict[tuple[str, ...], float]


def ask(address: tuple[str, int], data: bytes, seconds: float = 20) -> Response:
    """One request on a connection of its own, which any worker may take."""
    with socket.create_connection(address, timeout=seconds) as client:
        client.sendall(data)
        return receive(client)


def scrape(target: Target, seconds: float = 20) -> Samples:
    """Every sample, as whichever worker is asked tells it: (name, label value, …) -> value."""
    text = ask(target.address, request(path="/metrics"), seconds).body.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def worker_pids(target: Target) -> list[int]:
    """The workers, by their supervisor's children, in the order of their start."""
    pid = target.service.child.process.pid
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def predictions(samples: Samples) -> float:
    """How many `POST /predict` were counted as answered."""
    return samples.get(("predictor_requests_total", "200", "/predict"), 0)


def until_all_serve(target: Target, version: str, workers: int = 2) -> Samples:
    wait_until(
        lambda: scrape(target).get(("predictor_workers", version)) == workers,
        f"{workers} workers serve {version}",
    )
    return scrape(target)


class Beside:
    """Runs in a thread from when it is made until it is stopped."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.thread.join(30)

    def _run(self) -> None:
        raise NotImplementedError


@dataclass
class Client(Beside):
    """Asks without a pause on one connection, and connects again when that is lost."""

    target: Target
    number: int
    answered: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def _run(self) -> None:
        while not self._stop.is_set():
            with closing(socket.create_connection(self.target.address, timeout=20)) as client:
                try:
                    while not self._stop.is_set():
                        self._ask(client)
                except (ConnectionError, AssertionError):  # reset, or closed without an answer
                    self.lost += 1
                except OSError as error:
                    self.wrong.append(repr(error))

    def _ask(self, client: socket.socket) -> None:
        record = self.target.varied(self.number + self.answered)
        client.sendall(post(json.dumps(record).encode()))
        response = receive(client)
        self.answered += 1
        if response.status != 200 or not self.target.is_right(response, record):
            self.wrong.append(f"{response.status} {response.body!r}")


@dataclass
class Scrapes(Beside):
    """Looks at the metrics all the time, on connections of its own, and keeps what it saw."""

    target: Target
    seen: list[Samples] = field(default_factory=list)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                self.seen.append(scrape(self.target))
            except (OSError, AssertionError):
                continue  # the worker that was asked died meanwhile


Serve = Callable[..., Service]


def two_workers(registry: Registry, serve: Serve, **options: Any) -> Target:
    """Two workers that serve version 1, and take turns to look every 0.2 s."""
    registry.stage("1", "Production")
    settings = {"PREDICTOR_WORKERS": "2", "PREDICTOR_SHUTDOWN_SECONDS": "2", **options}
    service = serve(registry, **settings)
    service.until_serving("1")
    target = Target(service, registry.reference("1"), "1", service.example())
    service.http.close()
    until_all_serve(target, "1")
    return target


@pytest.fixture
def target(registry: Registry, serve: Serve) -> Target:
    """Two workers for a test that ends one of them, or all."""
    return two_workers(registry, serve)


@pytest.fixture(scope="module")
def shared_registry(trained: Server) -> Registry:
    """What the shared workers follow."""
    return register_again(trained.url)


@pytest.fixture(scope="module")
def shared(shared_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Two workers for all tests that leave both alive, and version 1 serving."""
    with ExitStack() as stack:
        start = starter(stack, tmp_path_factory.mktemp("workers"))
        yield two_workers(shared_registry, start)


@pytest.fixture
def clients(target: Target) -> Iterator[list[Client]]:
    made = [Client(target, number) for number in range(CLIENTS)]
    wait_until(lambda: all(client.answered > 5 for client in made), "all clients are served")
    yield made
    for client in made:
        client.stop()


def test_the_sums_add_up_exactly(shared: Target) -> None:
    """Whichever worker answered, and whichever is asked: as many as the clients have."""
    target = shared
    before = predictions(scrape(target))
    clients = [Client(target, number) for number in range(CLIENTS)]
    wait_until(lambda: all(client.answered > 100 for client in clients), "there is some load")
    for client in clients:
        client.stop()
    answered = sum(client.answered for client in clients)
    # A request is counted when its answer has been given away.
    wait_until(lambda: predictions(scrape(target)) - before >= answered, "all are counted")
    for samples in (scrape(target) for _ in range(10)):
        assert predictions(samples) - before == answered
        rows = sum(v for key, v in samples.items() if key[0] == "predictor_predictions_total")
        assert rows == samples[("predictor_batch_rows_sum",)] == predictions(samples)
        name = "predictor_request_duration_seconds"
        assert samples[f"{name}_count", "/predict"] == predictions(samples)
        assert samples[f"{name}_bucket", "/predict", "+Inf"] == predictions(samples)
    assert not [fault for client in clients for fault in client.wrong]
    assert not sum(client.lost for client in clients)


def test_a_killed_worker_is_replaced_and_nothing_that_was_counted_is_lost(
    target: Target, clients: list[Client]
) -> None:
    """Only its own connections notice; no counter goes down; no client is told an error."""
    scrapes = Scrapes(target)
    killed, other = worker_pids(target)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(worker_pids(target)) == 2, "there is another worker")
    until_all_serve(target, "1")
    reached = [client.answered for client in clients]
    wait_until(
        lambda: all(c.answered > n + 20 for c, n in zip(clients, reached, strict=True)),
        "all clients are served again",
    )
    for each in (*clients, scrapes):
        each.stop()
    lost = [client.lost for client in clients]
    assert 0 < sum(lost) < CLIENTS
    assert max(lost) == 1
    assert not [fault for client in clients for fault in client.wrong]
    assert other in worker_pids(target)
    samples = scrape(target)
    assert samples[("predictor_worker_restarts_total",)] == 1
    # Of what was on its way when the worker died nobody can tell whether it counts.
    answered = sum(client.answered for client in clients)
    uncertain = predictions(samples) - answered
    print(f"\n{answered} answered, {sum(lost)} of {CLIENTS} lost, {uncertain:+.0f} counted")
    assert abs(uncertain) <= sum(lost)
    for earlier, later in pairwise([*scrapes.seen, samples]):
        for key, value in earlier.items():
            if key[0].endswith(("_total", "_count", "_bucket")):
                assert later[key] >= value, key
    ended = [line for line in target.service.log_lines() if line["event"] == "worker_ended"]
    assert [(line["code"], line["served"]) for line in ended] == [(-9, True)]


def test_a_promotion_reaches_all_workers(shared: Target, shared_registry: Registry) -> None:
    """Under no load but the scrapes; the skew is what the metric says, and is printed."""
    target, registry = shared, shared_registry
    skews = []
    for number in range(10):
        registry.stage("2", "Archived" if number % 2 else "Production")
        samples = until_all_serve(target, "1" if number % 2 else "2")
        assert {k[1] for k in samples if k[0] == "predictor_workers"} == {"2", "1"} - {
            "2" if number % 2 else "1"
        }
        skews.append(samples[("predictor_swap_skew_seconds",)])
    milliseconds = sorted(round(skew * 1000, 1) for skew in skews)
    print(
        f"\nskew of two workers in ms: median {statistics.median(milliseconds):.1f}, {milliseconds}"
    )
    assert all(0 < skew < 20 for skew in skews)
    assert samples["predictor_swaps_total", "rolled_back"] == 10
    asked = samples["predictor_registry_polls_total", "answered"]
    time.sleep(2)
    asked = scrape(target)["predictor_registry_polls_total", "answered"] - asked
    print(f"two workers asked the registry {asked:.0f} times in 2 s; one asks 10 times")


def test_a_restarted_worker_makes_the_others_poll(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """Without waiting for their turn, which here comes once in two hours."""
    registry.stage("1", "Production")
    service = serve(registry, PREDICTOR_WORKERS="2", PREDICTOR_POLL_SECONDS="3600")
    service.until_serving("1")
    target = Target(service, registry.reference("1"), "1", service.example())
    until_all_serve(target, "1")
    registry.stage("2", "Production")
    os.kill(worker_pids(target)[0], signal.SIGKILL)  # the next one looks when it starts
    until_all_serve(target, "2")
    workers = {line["worker"] for line in service.log_lines() if line["event"] == "swapped"}
    assert workers == {0, 1}


def test_sigterm_loses_no_request(target: Target) -> None:
    """As with one process: every client gets an answer, the last with `Connection: close`."""
    flows = [Flow(target, number) for number in range(32)]
    wait_until(lambda: all(flow.answered > 5 or flow.fault for flow in flows), "all are served")
    workers = worker_pids(target)
    code, seconds = terminated(target.service)
    for flow in flows:
        flow.thread.join(30)
    answered = sum(flow.answered for flow in flows)
    print(f"\n32 clients of two workers: {answered} answered; ended in {seconds:.1f} s")
    assert not [flow.fault for flow in flows if flow.fault]
    assert all(flow.told for flow in flows)
    assert code == 0
    assert not [pid for pid in workers if alive(pid)]


def test_workers_end_when_their_supervisor_is_killed(target: Target) -> None:
    """None is left behind, and the port is free; what is in flight gets its answer."""
    workers = worker_pids(target)
    with socket.create_connection(target.address, timeout=20) as client:
        client.sendall(post(target.body)[:-1])
        ask(target.address, request())
        target.service.child.process.kill()
        wait_until(lambda: "supervisor_ended" in target.service.child.log.read_text(), "it is seen")
        client.sendall(post(target.body)[-1:])
        response = receive(client)
    assert response.status == 200
    assert target.is_right(response, target.record)
    wait_until(lambda: not any(alive(pid) for pid in workers), "all workers have ended")
    with socket.create_server(target.address):
        pass


def test_a_worker_that_hangs_is_replaced(registry: Registry, serve: Serve) -> None:
    """The metrics render without it; after as many missed beats as it may miss it is killed."""
    target = two_workers(registry, serve, module=("tests.end_to_end.impatient", str(HUNG_BEATS)))
    hung, _ = worker_pids(target)
    os.kill(hung, signal.SIGSTOP)
    # What the kernel gives to the one that hangs waits; the other one answers.
    wait_until(lambda: answers_in_time(target), "another worker tells")
    wait_until(lambda: not alive(hung), "it is killed", seconds=90)
    until_all_serve(target, "1")
    assert scrape(target)[("predictor_worker_restarts_total",)] == 1
    (line,) = [each for each in target.service.log_lines() if each["event"] == "worker_hung"]
    assert line["worker"] in {0, 1}
    assert line["seconds"] == HUNG_BEATS


def answers_in_time(target: Target) -> bool:
    try:
        return ("predictor_workers", "1") in scrape(target, seconds=0.5)
    except OSError:
        return False


def test_each_line_of_a_worker_names_it(shared: Target) -> None:
    """Its own, and uvicorn's; the supervisor's has none."""
    lines = shared.service.log_lines()
    assert [line["event"] for line in lines if "worker" not in line] == ["starting"]
    assert {line["worker"] for line in lines if line["event"] == "swapped"} == {0, 1}


def test_the_supervisor_is_small(shared: Target) -> None:
    """It loads nothing of what serving needs."""
    pid = shared.service.child.process.pid
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert not re.search(r"onnxruntime|numpy|uvloop|httptools", maps)
    sizes = {
        process: int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[0])
        for process in (pid, *worker_pids(shared))
    }
    print(f"\nresident memory in kB, the supervisor first: {list(sizes.values())}")


def test_a_worker_that_the_system_does_not_start_is_told(shared: Target) -> None:
    """And started once the system does."""
    supervisor = shared.service.child.process.pid
    before = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (4, before[1]))  # it has more open already
    try:
        os.kill(worker_pids(shared)[0], signal.SIGKILL)
        log = shared.service.child.log
        wait_until(lambda: "worker_not_started" in log.read_text(), "it is told")
    finally:
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: len(worker_pids(shared)) == 2, "there is another worker")
    lines = [each for each in shared.service.log_lines() if each["event"] == "worker_not_started"]
    assert "Too many open files" in lines[0]["reason"]
