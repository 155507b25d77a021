"""What a client sends is nowhere but in its answer: not in the log, the metrics, or what ops ask for."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper

from demo.processes import free_port
from predictor.log_events import EVENTS, LIBRARY_LINES
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from tests.end_to_end.parts import Registry, Service
from tests.hostile.parts import Target
from tests.hostile.wire import converse, post, request
from tests.predictor.conftest import Registered
from tests.predictor.graphs import graph, tensor, with_metadata
from tests.shared import Server

TEXT, NUMBER = "Kowalska73519264", "123.456789"
# In any case, and as float32 writes the number; so long that no measured time has these digits by chance.
LEFT_BEHIND = ("kowalska", "73519264", "123.456")
FAR = f"99{NUMBER}"  # the model has no row for it
PATHS = ("/", "/health", "/ready", "/model", "/metrics", "/openapi.json", "/docs")
MARKED = {
    "Authorization": f"Bearer {TEXT}", "X-API-Key": TEXT, "Cookie": f"a={TEXT}", "User-Agent": TEXT,
    "Referer": f"http://x/{TEXT}", "X-Forwarded-For": TEXT, "X-Patient": NUMBER,
    "X-Request-ID": f"{TEXT} {NUMBER}", "traceparent": TEXT, "tracestate": TEXT,
}  # fmt: skip
ALWAYS = {"event", "level", "timestamp", "request_id", "asked_by", "worker", "exception"}
"""The fields that any line may have."""
HEAD = [f"{name}: {value}" for name, value in MARKED.items()]


def record(code: str = '"1"', radius: str = NUMBER, more: str = "") -> bytes:
    return f'{{"code": {code}, "mean_radius": {radius}{more}}}'.encode()


BODIES = {
    "good": record(),
    "a text that ONNX Runtime refuses, and quotes": record(f'"{TEXT}"'),
    "a fault of the service": record(radius=FAR),
    "a text for a number": record(radius=f'"{TEXT}"'),
    "a number for a text": record(NUMBER),
    "too large a number": record(radius=f"{NUMBER}e300"),
    "an unknown feature": record(more=f', "{TEXT}": {NUMBER}'),
    "a feature twice": record(more=f', "code": "{TEXT}"'),
    "another type": f'["{TEXT}", {NUMBER}]'.encode(),
    "cut off": record(f'"{TEXT}"')[:-1],
    "not JSON": f"{TEXT} {NUMBER}".encode(),
    "not UTF-8": record(f'"{TEXT}').replace(b"7351", b"7351\xff\xfe"),
    "UTF-16": TEXT.encode("utf-16"),
    "half a surrogate": record(rf'"{TEXT}\ud800"'),
    "larger than is read on the loop": record(f'"{TEXT * 2000}"'),
    "larger than is taken": record(f'"{TEXT * 100_000}"'),
}
SIGNED = ["X-MLflow-Delivery-Id: a", "X-MLflow-Timestamp: 1", "X-MLflow-Signature: v1,a"]
WEBHOOKS = [
    [*SIGNED, f"Content-Type: {TEXT}/{TEXT}", *HEAD],  # the first is logged
    [line.split(":")[0] + f": {TEXT}" for line in SIGNED],
    [*SIGNED, "Content-Type: application/json"],
]
ROWS = "/invocations"
INFER = "/v2/models/{model}/infer"
TENSOR = '{"name": "mean_radius", "shape": [1], "datatype": "FP64", "data": [%s]}'
CODE = '{"name": "code", "shape": [1], "datatype": "BYTES", "data": [%s]}'


def tensors(*inputs: str, more: str = "") -> bytes:
    return f'{{"inputs": [{", ".join(inputs)}]{more}}}'.encode()


CSV = [
    f"code,mean_radius\n{code},{radius}".encode()
    for code, radius in (
        ("1", NUMBER),
        (TEXT, NUMBER),
        ("1", FAR),
        ("1", TEXT),
        (f'"{TEXT}', NUMBER),
    )
]
INFERENCES = [
    tensors(CODE % '"1"', TENSOR % NUMBER, more=f', "id": "{TEXT}", "parameters": {{"{TEXT}": 1}}'),
    tensors(CODE % f'"{TEXT}"', TENSOR % NUMBER),
    tensors(CODE % '"1"', TENSOR % FAR),
    tensors(CODE % f'"{TEXT}"', TENSOR % f'"{NUMBER}"'),
    tensors(CODE % f'"{TEXT}"', TENSOR % f"{NUMBER}e300"),
    tensors(CODE % f'"{TEXT}"'),
    tensors(CODE % '"1"', TENSOR % NUMBER, more=f', "outputs": [{{"name": "{TEXT}"}}]'),
    tensors(CODE % '"1"', TENSOR % NUMBER, more=f', "{TEXT}": "{NUMBER}"'),
    tensors(CODE % f'"{TEXT}"', TENSOR.replace("FP64", TEXT) % NUMBER),
    tensors(CODE % f'"{TEXT}", "{TEXT}"', TENSOR % NUMBER),
    tensors(CODE % f'"{TEXT * 2000}"', TENSOR % NUMBER),
]
"""Requests of the Open Inference Protocol, good ones and others."""
SENT = [
    *(post(body, *HEAD[:4]) for body in BODIES.values()),  # by the fast lane, where they are small
    *(post(body, *HEAD, path=f"/predict?{TEXT}") for body in BODIES.values()),
    *(post(body, path="/predict/explain") for body in BODIES.values()),
    *(post(b'{"instances": [%b]}' % body, path="/predict/what-if") for body in BODIES.values()),
    *(post(b'{"instances": [%b]}' % body, path="/predict/batch") for body in BODIES.values()),
    post(f'{{"{TEXT}": [{NUMBER}]}}'.encode(), path="/predict/batch"),
    *(post(body, *HEAD, path=INFER) for body in (*BODIES.values(), *INFERENCES)),
    post(
        INFERENCES[0] + TEXT.encode(),
        f"Inference-Header-Content-Length: {len(INFERENCES[0])}",
        path=INFER,
    ),
    post(INFERENCES[0], f"Inference-Header-Content-Length: {TEXT}", path=INFER),
    post(INFERENCES[0], path=f"/v2/models/{TEXT}/infer"),
    post(INFERENCES[0], path=INFER.replace("/infer", f"/versions/{TEXT}/infer")),
    request("GET", f"/v2/{TEXT}", *HEAD),
    *(
        post(b'{"%b": [%b]}' % (form, body), *HEAD, path=ROWS)
        for body in BODIES.values()
        for form in (b"dataframe_records", b"instances", b"inputs")
    ),
    *(post(body, *HEAD, path=ROWS) for body in BODIES.values()),
    *(request("POST", ROWS, "Content-Type: text/csv", body=body) for body in CSV),
    post(record(), "Content-Encoding: " + TEXT),
    post(record(), "Expect: " + TEXT),
    post(record(), "Connection: upgrade", "Upgrade: " + TEXT),
    request("POST", "/predict", f"Content-Type: {TEXT}/{TEXT}; charset={TEXT}", body=record()),
    *(
        request(method, f"{path}?{TEXT}={NUMBER}", *HEAD)
        for path in PATHS
        for method in ("GET", "POST")
    ),
    *(request("GET", path, *HEAD) for path in (f"/{TEXT}", f"/web/{TEXT}", f"/{TEXT}%0a%00")),
    request("GET", "/", f'If-None-Match: "{TEXT}"'),
    request("OPTIONS", "/predict", f"Origin: http://{TEXT}", "Access-Control-Request-Method: POST"),
    request("DELETE", f"/{TEXT}"),
    *(request("POST", "/webhooks/mlflow", *signed, body=TEXT.encode()) for signed in WEBHOOKS),
]
"""Each is answered."""
BROKEN = [
    f"{TEXT} /predict HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    f"GET /{TEXT} HTTP/{NUMBER}\r\nHost: x\r\n\r\n".encode(),
    f"GET /{TEXT}\xff HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"),
    f"GET http://[{TEXT}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    request("GET", "/health", TEXT),
    request("GET", "/health", f"{TEXT}\0: x"),
    request("GET", "/health", f"Host: {TEXT}"),
    request("GET", "/health", f"X: {TEXT * 10_000}"),
    request("GET", f"/{TEXT * 10_000}"),
    request("POST", "/predict", f"Transfer-Encoding: {TEXT}"),
    request("POST", "/predict", f"Content-Length: {TEXT}"),
    request("POST", "/predict", "Transfer-Encoding: chunked") + TEXT.encode() + b"\r\n",
    request("POST", "/predict", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\0%b\r\n\r\n" % TEXT.encode(),
    post(record() + TEXT.encode())[:-5],  # too slow
    request("GET", "/health", *HEAD)[:-9],  # too slow
    TEXT.encode() * 100,
]  # fmt: skip
"""After each comes a close."""


def model() -> bytes:
    """A regressor whose text must be a number, and which has no row for a radius of 1,000 or more."""
    nodes = [
        helper.make_node("Cast", ["code"], ["of_code"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["of_code", "mean_radius"], ["sum"]),
        helper.make_node("Less", ["mean_radius", "most"], ["known"]),
        helper.make_node("Reshape", ["known", "flat"], ["rows"]),
        helper.make_node("Compress", ["sum", "rows"], ["value"], axis=0),
    ]
    inputs = [tensor("code", "string", (None, 1)), tensor("mean_radius", shape=(None, 1))]
    constants = {"most": np.float32([[1000]]), "flat": np.int64([-1])}
    made = graph(nodes, inputs, [tensor("value", shape=(None, 1))], constants)
    return with_metadata(made, background=[["1", 5.0], ["2", 7.5]])


@pytest.fixture
def registry(mlflow_server: Server, tmp_path: Path) -> Registry:
    """A registry in which that model is in Production."""
    registered, folder = Registered(mlflow_server.url), tmp_path / "artifact"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model())
    flavors = {"flavors": {"onnx": {"data": "model.onnx"}}}
    (folder / "MLmodel").write_text(yaml.safe_dump(flavors))
    run_id, source = registered.upload(folder)
    name = registered.model()
    registered.stage(name, int(registered.version(name, source, run_id)), "Production")
    return Registry(mlflow_server.url, name, client=None)  # type: ignore[arg-type]


def called(port: int, name: str) -> set[grpc.StatusCode]:
    """Ask by gRPC for the like of INFERENCES; the statuses."""
    metadata = [(name.lower(), value) for name, value in MARKED.items()]
    bodies = [f"{TEXT} {NUMBER}".encode()]
    for code, radius in (("1", NUMBER), (TEXT, NUMBER), ("1", FAR), (TEXT * 2000, NUMBER)):
        made = pb.ModelInferRequest(model_name=name, id=TEXT)
        made.parameters[TEXT].string_param = NUMBER
        made.inputs.add(name="code", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
            code.encode()
        )
        tensor = made.inputs.add(name="mean_radius", datatype="FP64", shape=[1])
        tensor.contents.fp64_contents.append(float(radius))
        bodies.append(made.SerializeToString())
        tensor.name = TEXT
        bodies.append(made.SerializeToString())
        made.model_name = TEXT
        bodies.append(made.SerializeToString())
    statuses = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for body in bodies:
            for method in ("ModelInfer", "ModelStreamInfer", "ModelMetadata", TEXT):
                call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
                try:
                    call(body, metadata=metadata, timeout=20)
                    statuses.add(grpc.StatusCode.OK)
                except grpc.RpcError as error:
                    statuses.add(error.code())
    return statuses


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.whole
def test_nothing_that_a_client_sent_is_left_anywhere(
    registry: Registry, serve: Callable[..., Service], tmp_path: Path, workers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At the level that logs most, by every way, in good requests and in what is none."""
    secret = tmp_path / "secret"
    secret.write_text("a")
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # which has grpcio
    grpc_port = free_port()
    service = serve(
        registry, PREDICTOR_LOG_LEVEL="debug", PREDICTOR_WORKERS=workers,
        PREDICTOR_BODY_SECONDS="1", PREDICTOR_HEADER_SECONDS="1",
        PREDICTOR_WEBHOOK_SECRET_FILE=str(secret), PREDICTOR_GRPC_PORT=str(grpc_port),
    )  # fmt: skip
    service.until_serving("1")
    address = Target(service, None, "1", {}).address  # type: ignore[arg-type]
    for path in PATHS:
        head = service.http.head(path, params={TEXT: NUMBER}, headers=MARKED)
        assert len(head.headers["x-request-id"]) == 32
    model_name = quote(registry.name).encode()
    sent = [each.replace(b"{model}", model_name) for each in SENT]
    got = [converse(address, each, answers=1) for each in sent]
    got.append(converse(address, *sent[:8], answers=8))
    got += [converse(address, each) for each in BROKEN]
    codes = grpc.StatusCode
    assert called(grpc_port, registry.name) == {
        codes.OK, codes.INVALID_ARGUMENT, codes.NOT_FOUND, codes.UNIMPLEMENTED, codes.INTERNAL
    }  # fmt: skip
    answers = [response for each in got for response in each.responses]
    assert {200, 400, 404, 405, 408, 413, 414, 415, 422, 431, 500} <= {a.status for a in answers}
    paths = ("/metrics", "/model", "/openapi.json", "/ready")
    told = "".join(converse(address, request(path=path), answers=1).raw.decode() for path in paths)
    assert service.child.stop() == 0
    log = service.child.log.read_text()
    for left in LEFT_BEHIND:
        assert left not in told.lower()
        assert not [line for line in log.splitlines() if left in line.lower()]
    lines = service.log_lines()
    logged = {line["event"].strip() for line in lines}
    assert {"Exception in the fast lane", "Exception in ASGI application"} <= logged
    assert "Exception in a call" in logged
    assert {"internal_error", "request_refused", "webhook_refused"} <= logged
    declared = {event.name: event for event in EVENTS}
    library = tuple(start for line in LIBRARY_LINES for start in line.starts)
    assert [each for each in logged if each not in declared and not each.startswith(library)] == []
    for line in lines:
        if event := declared.get(line["event"]):
            assert line["level"] in {event.level, event.repeated}
            assert line.keys() - ALWAYS <= set(event.fields)
    for status, events in ((500, 2), (408, 1), (431, 1)):
        for answer in (each for each in answers if each.status == status):
            about = [
                each for each in lines if each.get("request_id") == answer.headers["x-request-id"]
            ]
            assert len(about) == events, (answer, about)
