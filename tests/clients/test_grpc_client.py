"""`tritonclient.grpc`, as it installs, against real predictors: its answers, a swap, workers, the end."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from demo.processes import free_port
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from tests.clients.message_fields import described
from tests.end_to_end.parts import Registry, Service
from tests.end_to_end.test_workers import until_all_serve
from tests.hostile.parts import Target
from tests.hostile.test_shutdown import terminated
from tests.required import environment

SCRIPT = Path(__file__).with_name("grpc_client.py")


class StockClient:
    """A process with nothing but a client in it."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [environment("clients"), str(SCRIPT), f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self, *command: Any) -> None:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self.process.stdout.readline())

    def ask(self, *command: Any) -> Any:
        self.begin(*command)
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait(20) != 0:
            pytest.fail("the client did not end as it should")


@pytest.fixture
def serve_grpc(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Service, int]]:
    """Starts a predictor in the environment that has grpcio; gives it with gRPC's port."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)

    def start(registry: Registry, **settings: str) -> tuple[Service, int]:
        port = free_port()
        return serve(registry, PREDICTOR_GRPC_PORT=str(port), **settings), port

    return start


def is_right(answer: Any, registry: Registry, version: str, record: dict[str, float]) -> bool:
    expected = registry.reference(version).probabilities(record)
    best = max(expected, key=lambda label: expected[label])
    (scores,) = answer["probabilities"]
    close = pytest.approx(list(expected.values()), abs=1e-6)
    return answer["version"] == version and answer["label"] == [best] and scores == close


def test_the_stock_client_is_answered_across_a_swap(registry: Registry, serve_grpc) -> None:
    """What the model is, rows of it, features by name, errors; on one connection."""
    registry.stage("1", "Production")
    service, port = serve_grpc(registry)
    service.until_serving("1")
    name, record = registry.name, service.example()
    row = list(record.values())
    with StockClient(port) as client:
        ours = dict(described(pb.DESCRIPTOR.message_types_by_name.values()))
        del ours["inference.RequestId"]  # never sent
        theirs = client.ask("protocol")
        assert ours == {message: theirs[message] for message in ours}
        described_ = client.ask("describe", name)
        assert described_["live"] == [True, True, True]
        assert described_["server"]["name"] == "mlflow-hotswap"
        assert described_["model"]["versions"] == ["1"]
        answer = client.ask("infer", name, "", [row], "ward-7")
        assert is_right(answer, registry, "1", record)
        assert answer["id"] == "ward-7"
        assert client.ask("infer", name, "1", [row, row], "")["label"] == answer["label"] * 2
        by_name = client.ask("columns", name, record)
        assert is_right(by_name, registry, "1", record)
        assert by_name["outputs"] == ["probabilities", "label"]
        registry.stage("2", "Production")
        service.until_serving("2")
        assert is_right(client.ask("infer", name, "", [row], ""), registry, "2", record)
        assert client.ask("infer", name, "1", [row], "") == {
            "status": "StatusCode.NOT_FOUND",
            "message": f"version `1` of `{name}` does not serve; version 2 does",
        }
        short = client.ask("infer", name, "", [row[:-1]], "")
        assert short["status"] == "StatusCode.INVALID_ARGUMENT"
        assert "its shape is [1,29]; expected [N,30]" in short["message"]
    counted = service.http.get("/metrics").text
    endpoint = "/inference.GRPCInferenceService/ModelInfer"
    assert f'predictor_requests_total{{code="200",endpoint="{endpoint}"}} 4.0' in counted
    assert f'predictor_requests_total{{code="404",endpoint="{endpoint}"}} 1.0' in counted


@pytest.mark.whole
def test_the_stock_client_streams(registry: Registry, serve_grpc) -> None:
    """Its callbacks get responses and errors in order, before a swap and after it."""
    registry.stage("1", "Production")
    service, port = serve_grpc(registry)
    service.until_serving("1")
    name, record = registry.name, service.example()
    row = list(record.values())
    ids = [f"r{number}" for number in range(200)]
    with StockClient(port) as client:
        client.ask("describe", name)
        for version in ("1", "2"):
            registry.stage(version, "Production")
            service.until_serving(version)
            answers = client.ask("stream", name, [row] * 200, ids, "")
            assert [answer["id"] for answer in answers] == ids
            assert all(is_right(answer, registry, version, record) for answer in answers)
        refused, short = client.ask("stream", name, [row, row[:-1]], ["a", "b"], "1")
        fault = f"version `1` of `{name}` does not serve; version 2 does"
        assert (refused, short) == ({"message": fault}, {"message": fault})
    counted = service.http.get("/metrics").text
    endpoint = "/inference.GRPCInferenceService/ModelStreamInfer"
    assert f'predictor_requests_total{{code="200",endpoint="{endpoint}"}} 400.0' in counted
    assert f'predictor_requests_total{{code="404",endpoint="{endpoint}"}} 2.0' in counted


@pytest.fixture
def flowing() -> Iterator[Callable[[int, int, str, list[float]], list[StockClient]]]:
    """Starts clients that ask without a pause, and returns once each has had an answer."""
    with ExitStack() as stack:

        def start(count: int, port: int, name: str, row: list[float]) -> list[StockClient]:
            clients = [stack.enter_context(StockClient(port)) for _ in range(count)]
            for client in clients:
                client.begin("describe", name)
                client.begin("flow", name, row)
            for client in clients:
                client.answer()
                assert client.answer() == "flowing"
            return clients

        yield start


@pytest.mark.whole
def test_two_workers_lose_no_call_in_a_swap_or_at_the_end(
    registry: Registry, serve_grpc, flowing
) -> None:
    """The last call of each client finds nobody who listens: it was never begun."""
    registry.stage("1", "Production")
    service, port = serve_grpc(registry, PREDICTOR_WORKERS="2", PREDICTOR_SHUTDOWN_SECONDS="5")
    service.until_serving("1")
    target = Target(service, registry.reference("1"), "1", service.example())
    until_all_serve(target, "1")
    clients = flowing(3, port, registry.name, list(target.record.values()))
    registry.stage("2", "Production")
    until_all_serve(target, "2")
    code, seconds = terminated(service)
    ends = [client.answer() for client in clients]
    print(f"\n{[end['versions'] for end in ends]} answered; ended in {seconds:.1f} s")
    for end in ends:
        assert set(end["versions"]) == {"1", "2"}
        assert end["status"] == "StatusCode.UNAVAILABLE"
        assert "connect" in end["message"], end
    assert code == 0
    assert "exit_forced" not in service.child.log.read_text()
    log = service.child.log.read_text()
    assert "Traceback" not in log
    assert all(line.startswith("{") for line in log.splitlines())
