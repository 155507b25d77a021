"""SIGTERM under load: what was accepted is answered, and nothing puts off the end.

What is promised: after SIGTERM no connection is accepted. On one that is open, each answer says
`Connection: close`, and is the last; one on which nothing comes for a moment is closed. So a client
that sends its next request as soon as it has an answer loses none.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.processes import free_port, running, start_predictor
from tests.end_to_end.parts import Registry, Service, wait_until
from tests.hostile.parts import Target, is_problem
from tests.hostile.wire import post, receive, request, split

CLIENTS = 32
BOUND = 25.0  # seconds; far more than the settings below allow, far less than a hang


class Flow:
    """A client that asks without a pause on one connection, until it is told that it is the last."""

    def __init__(self, target: Target, number: int) -> None:
        self.answered = 0
        self.fault: str | None = None
        self.told = False
        self._target = target
        self._number = number
        self._client = socket.create_connection(target.address, timeout=20)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            with closing(self._client):
                while not self.told:
                    self._ask()
        except Exception as error:  # noqa: BLE001  a request that was lost, however
            self.fault = repr(error)

    def _ask(self) -> None:
        record = self._target.varied(self._number + self.answered)
        self._client.sendall(post(json.dumps(record).encode()))
        response = receive(self._client)
        assert response.status == 200, response
        assert self._target.is_right(response, record)
        self.answered += 1
        self.told = response.headers.get("connection") == "close"


def terminated(service: Service) -> tuple[int, float]:
    """The exit code, and the seconds from SIGTERM to the end."""
    started = time.monotonic()
    service.child.process.send_signal(signal.SIGTERM)
    code = service.child.process.wait(BOUND)
    return code, time.monotonic() - started


@pytest.fixture
def target(registry: Registry, serve: Callable[..., Service]) -> Target:
    """A predictor of this test's own, which it may stop."""
    registry.stage("1", "Production")
    service = serve(registry, PREDICTOR_SHUTDOWN_SECONDS="2", PREDICTOR_BODY_SECONDS="600")
    service.until_serving("1")
    return Target(service, registry.reference("1"), "1", service.example())


@pytest.fixture
def others_do_not_notice() -> None:
    """Here the predictor is to end."""


def test_no_request_is_lost_in_full_flow(target: Target) -> None:
    """32 clients that never pause: every request is answered, the last with `Connection: close`."""
    flows = [Flow(target, number) for number in range(CLIENTS)]
    wait_until(lambda: all(flow.answered > 5 or flow.fault for flow in flows), "all are served")
    code, seconds = terminated(target.service)
    for flow in flows:
        flow.thread.join(30)
    answered, lost = sum(flow.answered for flow in flows), [f.fault for f in flows if f.fault]
    print(f"\n{CLIENTS} clients: {answered} answered, {len(lost)} lost; ended in {seconds:.1f} s")
    assert not lost, lost[:3]
    assert all(flow.told for flow in flows)
    assert code == 0


def test_requests_ahead_are_answered_before_the_end(target: Target) -> None:
    """All that had been read is owed an answer."""
    batch = json.dumps({"instances": [target.record] * 500}).encode()
    with socket.create_connection(target.address, timeout=20) as client:
        client.sendall(post(batch, path="/predict/batch") + post(target.body) * 3)
        while b"HTTP/1.1 200" not in (raw := client.recv(65536)):
            pass
        target.service.child.process.send_signal(signal.SIGTERM)
        while chunk := client.recv(1 << 20):
            raw += chunk
    responses, rest = split(raw)
    assert not rest
    assert [response.status for response in responses] == [200] * 4
    assert target.service.child.process.wait(BOUND) == 0


def test_idle_connections_do_not_put_off_the_end(target: Target) -> None:
    """Neither connections with earlier requests, nor idle ones."""
    idle = [socket.create_connection(target.address, timeout=20) for _ in range(20)]
    for client in idle[:10]:
        client.sendall(request())
        assert receive(client).status == 200
    code, seconds = terminated(target.service)
    print(f"\n20 idle connections: ended in {seconds:.1f} s")
    assert code == 0
    for client in idle:
        with closing(client):
            assert client.recv(65536) == b""


def test_a_body_that_never_comes_does_not_put_off_the_end(target: Target) -> None:
    """Its client is told 503 when the time is up."""
    with socket.create_connection(target.address, timeout=20) as client:
        client.sendall(post(target.body)[:-1])
        target.converse(request(), answers=1)  # what was sent before is read by now
        code, seconds = terminated(target.service)
        raw = b""
        while chunk := client.recv(65536):
            raw += chunk
    ((response,), rest) = split(raw)
    assert not rest
    assert response.status == 503
    assert is_problem(response)
    assert code == 0
    log = target.service.child.log.read_text()
    assert "Traceback" not in log
    print(f"\na body that never comes: ended in {seconds:.1f} s")


class HangingRegistry(BaseHTTPRequestHandler):
    """Names a version; who asks for a file of it waits for ever."""

    source: str
    asked: threading.Event

    def do_GET(self) -> None:
        version = {
            "name": "m", "version": "1", "current_stage": "Production", "source": self.source,
            "run_id": "r", "status": "READY",
        }  # fmt: skip
        if "get-latest-versions" in self.path:
            self._answer({"model_versions": [version]})
        elif "get-download-uri" in self.path:
            self._answer({"artifact_uri": self.source})
        else:
            self.asked.set()
            time.sleep(600)

    def _answer(self, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=["a file server that never answers", "a file that is never read"])
def hanging_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A predictor that is in the midst of a load that never ends."""
    source = "mlflow-artifacts:/1/a"
    if request.param == "a file that is never read":
        # Opening a pipe waits for its writer, in a thread that nothing can interrupt.
        (tmp_path / "model").mkdir()
        os.mkfifo(tmp_path / "model" / "MLmodel")
        source = str(tmp_path / "model")
    asked = threading.Event()
    handler = type("Hanging", (HangingRegistry,), {"source": source, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}",
        "PREDICTOR_MODEL_URI": "models:/m/Production", "PREDICTOR_SHUTDOWN_SECONDS": "2",
    }  # fmt: skip
    with running(start_predictor(tmp_path / "predictor", free_port(), env)) as child:
        service = Service(child)
        loads = lambda: service.http.get("/model").json()["loading"]  # noqa: E731
        wait_until(lambda: loads() is not None, "it loads")
        wait_until(lambda: source.startswith("/") or asked.is_set(), "a file is asked for")
        time.sleep(0.2)
        yield service
    server.shutdown()


def test_a_load_that_hangs_does_not_put_off_the_end(hanging_service: Service) -> None:
    """It answers until then, and says in its log if it had to leave a thread behind."""
    assert hanging_service.http.get("/health").status_code == 200
    assert hanging_service.http.get("/ready").status_code == 503
    code, seconds = terminated(hanging_service)
    events = [line["event"] for line in hanging_service.log_lines()]
    print(f"\na load that hangs: ended in {seconds:.1f} s, {events[-1]}")
    assert code == 0
