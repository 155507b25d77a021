"""Load balancers whose health check is a HEAD: Debian's haproxy and nginx, in front of a real process."""

import csv
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from demo.processes import Child, free_port, predictor_python, predictor_settings, running, spawn
from tests.end_to_end.parts import wait_until
from tests.required import program

pytestmark = pytest.mark.whole

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen statistics
  bind 127.0.0.1:{statistics}
  stats enable
  stats uri /stats
listen predictor
  bind 127.0.0.1:{port}
  option httpchk HEAD {path}
  server first {server} check inter 200ms
"""
NGINX = """
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{server}; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One without a registry: it answers, and is not ready."""
    folder, port = tmp_path_factory.mktemp("predictor"), free_port()
    env = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"} | predictor_settings(folder, port)
    command = [predictor_python(), "-m", "predictor"]
    with running(spawn(command, f"http://127.0.0.1:{port}", folder / "log", env)) as child:
        yield child


@contextmanager
def process(command: list[str], port: int) -> Iterator[None]:
    """A program that listens on this port."""
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def listens() -> bool:
        assert started.poll() is None, started.stdout.read() if started.stdout else b""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"{command[0]} listens")
        yield
    finally:
        started.terminate()
        started.wait(20)


@pytest.mark.parametrize(("path", "status"), [("/health", "UP"), ("/ready", "DOWN")])
def test_haproxy_marks_a_server_by_the_answer_to_head(
    predictor: Child, tmp_path: Path, path: str, status: str
) -> None:
    """Up where it is healthy; down where it is not ready, and with 503 as the reason: not 405."""
    statistics, port = free_port(), free_port()
    server = predictor.url.removeprefix("http://")
    settings = HAPROXY.format(statistics=statistics, port=port, server=server, path=path)
    file = tmp_path / "haproxy.cfg"
    file.write_text(settings.lstrip())

    def checked() -> dict[str, str]:
        answer = httpx.get(f"http://127.0.0.1:{statistics}/stats;csv").text.removeprefix("# ")
        rows = csv.DictReader(answer.splitlines())
        return next(row for row in rows if row["svname"] == "first")

    with process([program("haproxy"), "-db", "-f", str(file)], port):
        code = "200" if status == "UP" else "503"
        wait_until(lambda: checked()["check_code"] == code, f"the check got {code}")
        wait_until(lambda: checked()["status"] == status, f"it is {status}")
        if status == "UP":
            time.sleep(1)  # five checks more
            assert checked()["status"] == "UP"
            assert httpx.get(f"http://127.0.0.1:{port}/health").json() == {"status": "ok"}


def test_head_through_nginx(predictor: Child, tmp_path: Path) -> None:
    """The length of the GET, and nothing behind it: the next answer on the connection is whole."""
    port = free_port()
    file = tmp_path / "nginx.conf"
    server = predictor.url.removeprefix("http://")
    file.write_text(NGINX.format(folder=tmp_path, port=port, server=server))
    command = [program("nginx"), "-c", str(file), "-g", "daemon off;"]
    with process(command, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("/health", "/ready", "/metrics", "/openapi.json", "/docs", "/v2/health/live"):
            got, head = client.get(path), client.head(path)
            assert head.status_code == got.status_code, path
            assert head.content == b"", path
            assert "content-length" in head.headers or "content-encoding" in head.headers, path
        assert client.head("/events").status_code == 200
        assert client.get("/health").json() == {"status": "ok"}
