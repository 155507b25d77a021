"""The predictor as a process: what it needs, which servers it talks to, how it starts and ends."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.processes import (
    ROOT,
    free_port,
    predictor_python,
    predictor_settings,
    running,
    spawn,
)
from tests.end_to_end.parts import Registry, Service
from tests.required import program


def test_its_own_environment_has_no_training_library(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """Installed from its own requirements file: no scikit-learn, no mlflow, no pandas; it serves."""
    code = "import importlib.util as u, sys; print([m for m in sys.argv[1:] if u.find_spec(m)])"
    modules = ["sklearn", "mlflow", "pandas", "skl2onnx", "onnx", "matplotlib", "onnxruntime"]
    found = subprocess.run(
        [predictor_python(), "-c", code, *modules], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['onnxruntime']"
    registry.stage("1", "Production")
    service = serve(registry)
    service.until_serving("1")
    assert service.predict(service.example())["model_version"] == "1"


@pytest.mark.whole
def test_no_socket_but_the_registrys_is_opened(registry: Registry, tmp_path: Path) -> None:
    """Nothing phones home: every connection of the process and its threads is seen by strace."""
    registry.stage("2", "Production")
    port, calls = free_port(), tmp_path / "calls.txt"
    env = predictor_settings(tmp_path, port) | {
        "MLFLOW_TRACKING_URI": registry.url,
        "PREDICTOR_MODEL_URI": f"models:/{registry.name}/Production",
    }
    traced = [
        program("strace"),
        "-f",
        "-qq",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
        str(calls),
    ]
    command = [*traced, predictor_python(), "-m", "predictor"]
    url = f"http://127.0.0.1:{port}"
    with running(spawn(command, url, tmp_path / "log", env), "/ready") as child:
        service = Service(child)
        service.predict(service.example())
        # strace keeps signals to itself; the predictor is its only child.
        pid = child.process.pid
        predictor = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        os.kill(int(predictor), signal.SIGTERM)
        assert child.process.wait(30) == 0
    seen = set(re.findall(r"sin6?_port=htons\((\d+)\).*?\"([^\"]+)\"", calls.read_text()))
    host, registry_port = registry.url.removeprefix("http://").split(":")
    assert seen == {(registry_port, host)}


def test_sigterm_finishes_what_is_in_flight_and_exits_0(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """A request whose body is still on its way when the signal comes gets its answer."""
    registry.stage("1", "Production")
    service = serve(registry)
    service.until_serving("1")
    body = json.dumps(service.example()).encode()
    host, port = service.child.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:100])
        # The service reads one connection after another: once a later one has its answer, the
        # first one's beginning has been read.
        service.http.get("/health")
        os.kill(service.child.process.pid, signal.SIGTERM)
        client.sendall(body[100:])
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"model_version":"1"' in answer
    assert service.child.process.wait(20) == 0


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "mlflow server --backend-store-uri"),
        ("PREDICTOR_MODEL_URI", "breast-cancer", "models:/NAME/Production"),
        ("PREDICTOR_PORT", "eighty", "PREDICTOR_PORT"),
    ],
)
def test_a_wrong_setting_is_one_line_and_a_non_zero_exit(
    setting: str, value: str, said: str
) -> None:
    """The line names the variable and says what it takes."""
    env = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", setting: value}
    ended = subprocess.run(
        [predictor_python(), "-m", "predictor"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert setting in ended.stderr
    assert said in ended.stderr


def test_a_port_in_use_is_said_and_ends_the_process(tmp_path: Path) -> None:
    """It does not stay up without listening."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [predictor_python(), "-m", "predictor"],
            cwd=ROOT,
            env={**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
            | predictor_settings(tmp_path, port),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    said = json.loads(line)
    assert (said["event"], said["port"]) == ("cannot_listen", port)
    assert "in use" in said["reason"]
