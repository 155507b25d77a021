"""The composition root over real sockets, as clients see it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn

from demo.processes import free_port
from predictor import __version__, cli, healthcheck
from predictor.service import compose
from predictor.settings import Settings, variable
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("PREDICTOR_", "MLFLOW_"))}


@pytest.fixture
async def served(tmp_path):
    """A service in a real uvicorn, and its port."""
    live = Live(tmp_path, max_body_bytes=2000)
    await live.serve(7, OURS)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(live.app, port=port, log_config=None, access_log=False, lifespan="off")
    )
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    yield live, port
    server.should_exit = True
    await running
    await live.client.aclose()


async def exchange(port, *parts):
    """Send these bytes over one connection, piece by piece; return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer = await reader.read()
    writer.close()
    return answer


def post(body, *headers, path="/predict"):
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_requests_on_the_wire_are_coalesced(served):
    """Many connections, fewer calls, every response correct."""
    live, port = served
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits) as client:
        asked = [client.post("/predict", json={**GOOD, "mean_radius": v}) for v in (1.0, -1.0) * 32]
        answers = [response.json()["prediction"] for response in await asyncio.gather(*asked)]
    assert answers == ["malignant", "benign"] * 32
    samples = live.samples()
    assert samples[("predictor_batch_rows_sum",)] == 64
    assert samples[("predictor_batch_rows_count",)] < 64


async def test_a_chunked_body_is_read_and_limited(served):
    """The limit also holds for bodies without a length."""
    _, port = served
    body = json.dumps(GOOD).encode()
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    answer = await exchange(port, post(chunk, "Transfer-Encoding: chunked"))
    assert answer.startswith(b"HTTP/1.1 200")
    large = b"".join(b"3e8\r\n" + b" " * 1000 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    answer = await exchange(port, post(large, "Transfer-Encoding: chunked"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


async def test_a_body_in_pieces_is_one_body(served):
    """However the network splits the bytes."""
    _, port = served
    body = json.dumps(GOOD).encode()
    request = post(body, f"Content-Length: {len(body)}")
    answer = await exchange(port, *(request[i : i + 40] for i in range(0, len(request), 40)))
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_client_that_disconnects_halfway_does_not_affect_others(served):
    """The next client gets a response, and no server error is counted."""
    live, port = served
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b'{"mean', "Content-Length: 500"))
        await writer.drain()
        writer.close()
    body = json.dumps(GOOD).encode()
    answer = await exchange(port, post(body, f"Content-Length: {len(body)}"))
    assert answer.startswith(b"HTTP/1.1 200")
    await asyncio.sleep(0.05)
    samples = live.samples()
    codes = {k[1] for k in samples if k[0] == "predictor_requests_total" and samples[k]}
    assert not {code for code in codes if code.startswith("5")}


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n" * 9 + b"x\r\n\r\n"]
)
async def test_bytes_that_are_not_http_are_refused(served, request_):
    """Without an effect on the next client."""
    _, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_)
    writer.write_eof()
    assert b" 5" not in (await reader.read())[:20]
    writer.close()
    assert (await exchange(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[
        :12
    ] == b"HTTP/1.1 200"


async def test_composing_starts_nothing(monkeypatch, tmp_path):
    """No thread, no file, no socket until the service runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("PREDICTOR_CACHE_DIR", str(tmp_path / "cache"))
    service = compose(Settings.read())
    assert service.reconciler.serving is None
    assert not (tmp_path / "cache").exists()
    await service.reconciler.reconcile()
    assert "did not answer" in service.reconciler.registry_status.fault


def run(*arguments, module="predictor", **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=60, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


@pytest.mark.parametrize("command", [cli.main, healthcheck.main])
@pytest.mark.parametrize("arguments", [["--port", "9"], ["--token=s3cret"], ["serve"], [""]])
def test_arguments_are_refused(capsys, command, arguments):
    """In one line that says where settings come from; it quotes no value, which may be a secret."""
    code, (out, err) = command(arguments), capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "environment variables" in err
    assert "s3cret" not in err


def test_the_help_lists_every_setting():
    """A package from an index has no docs/ beside it."""
    done = run("--help")
    assert done.returncode == 0
    assert all(f"\n{variable(name)}" in done.stdout for name in Settings.model_fields)
    assert run("--version").stdout == f"mlflow-hotswap {__version__}\n"


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.whole)])
def test_the_first_lines_say_what_starts_and_sigterm_ends_it(tmp_path, workers):
    """Once, whatever the number of workers: the address, what serves, from where; and each unknown variable.

    SIGTERM ends the process cleanly, also while the registry does not answer.
    """
    process = start(
        tmp_path, PREDICTOR_WORKERS=workers, PREDICTOR_PORT="0", PREDICTOR_POL_SECONDS="1",
        MLFLOW_TRACKING_URI="http://ann:s3cret@127.0.0.1:1/prefix",
        PREDICTOR_MODEL_URI="models:/churn@champion",
    )  # fmt: skip
    unknown, first = lines_until(process, "starting")
    assert unknown["event"] == "unknown_setting"
    assert (unknown["variable"], unknown["similar"]) == (
        "PREDICTOR_POL_SECONDS", "PREDICTOR_POLL_SECONDS",
    )  # fmt: skip
    assert first["address"].startswith("http://127.0.0.1:")
    assert first["workers"] == int(workers)
    assert first["version"] == __version__
    assert first["model_uri"] == "models:/churn@champion"
    assert first["registry"] == "http://127.0.0.1:1/prefix"
    lines = [first, *lines_until(process, "startup complete")]
    process.send_signal(signal.SIGTERM)
    log = json.dumps(lines) + process.stderr.read().decode()
    assert process.wait(30) == 0
    assert "Traceback" not in log
    assert "s3cret" not in log
    assert log.count("starting") == 1
    assert "unknown_setting" not in log


def test_without_settings_the_process_ends_in_one_line():
    """Exit code 2, the variable's name, no traceback; `test_wrong_settings.py` has all the others."""
    done = run()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("mlflow-hotswap: MLFLOW_TRACKING_URI: ")


def start(folder, prefix=(), **environment):
    """Start the service with the command `prefix`, which executes it."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "predictor"],
        env={
            **ENVIRONMENT, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
            "PREDICTOR_CACHE_DIR": str(folder / "cache"), **environment,
        },
        stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def lines_until(process, event):
    """The lines of its log, the one with this event last."""
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if event in lines[-1]["event"]:
            break
    return lines


@pytest.mark.whole
def test_workers_have_the_port_that_the_system_picked(tmp_path):
    """All workers have the same fault, and the log names it."""
    process = start(tmp_path, PREDICTOR_WORKERS="2", PREDICTOR_PORT="0")
    first = lines_until(process, "starting")[-1]
    assert first["workers"] == 2
    assert first["address"].startswith("http://127.0.0.1:")
    up = [lines_until(process, "startup complete")[-1]["worker"] for _ in range(2)]
    assert sorted(up) == [0, 1]
    for _ in range(10):
        assert httpx.get(f"{first['address']}/health", timeout=20).status_code == 200
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.stderr.read().decode()
    assert process.wait(30) == 0


@pytest.mark.whole
def test_workers_that_cannot_start_end_the_service(tmp_path):
    """With an exit code, after a few tries."""
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not for this processor')")
    process = start(tmp_path, PREDICTOR_WORKERS="2", PREDICTOR_PORT="0", PYTHONPATH=str(tmp_path))
    log = process.stderr.read().decode()
    assert process.wait(60) == 1
    assert "not for this processor" in log
    assert '"event": "workers_cannot_start"' in log


@pytest.mark.whole
def test_a_port_in_use_ends_a_service_of_workers(tmp_path):
    """Before any worker starts."""
    process = start(tmp_path, PREDICTOR_WORKERS="2", PREDICTOR_PORT="0")
    port = lines_until(process, "starting")[-1]["address"].rpartition(":")[2]
    for workers in ("1", "2"):
        other = start(tmp_path, PREDICTOR_WORKERS=workers, PREDICTOR_PORT=port)
        (line,) = other.stderr.read().decode().splitlines()
        assert json.loads(line)["event"] == "cannot_listen"
        assert other.wait(30) == 1
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    assert process.wait(30) == 0


def test_the_supervisor_imports_nothing_that_serving_needs():
    """It is small, and starts at once."""
    code = "import sys, predictor.cli, predictor.workers.supervisor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "structlog" in loaded
    assert not loaded & {"onnxruntime", "numpy", "fastapi", "uvicorn", "httpx", "prometheus_client"}
