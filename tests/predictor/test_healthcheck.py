"""The health check of a container sends its request to the address in the predictor's settings."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.processes import free_port
from predictor.healthcheck import main
from predictor.http.listeners import listen
from predictor.settings import Settings


class Answering(BaseHTTPRequestHandler):
    """A server that returns this status."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server that listens like the predictor."""

    status = 200

    def __init__(self, host: str) -> None:
        self.asked: list[str] = []
        super().__init__(("", 0), Answering, bind_and_activate=False)
        self.socket.close()
        self.socket = listen(Settings(host=host).host, 0)
        self.server_port = self.socket.getsockname()[1]


@pytest.fixture(
    params=["127.0.0.1", "0.0.0.0", "::", "[::]", "::1", "[::1]", "::ffff:127.0.0.1", "localhost"]
)
def server(request, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("PREDICTOR_HOST", request.param)
    # The way to oneself is never through a proxy.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Server(request.param) as server:
        monkeypatch.setenv("PREDICTOR_PORT", str(server.server_port))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_sends_the_request_to_the_address_in_the_settings(server, capfd):
    """A server that listens on all addresses responds on loopback."""
    assert main() == 0
    assert server.asked == ["/health"]
    assert capfd.readouterr() == ("", "")


def test_another_status_is_not_healthy(server, capfd):
    server.status = 500
    assert main() == 1
    assert "GET /health answers 500" in capfd.readouterr().err


def test_without_a_server_it_is_not_healthy(monkeypatch, capfd):
    """One line that names the address, and no traceback."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("PREDICTOR_PORT", str(port := free_port()))
    assert main() == 1
    said = capfd.readouterr().err
    assert said.startswith(f"127.0.0.1 port {port} does not answer: ")
    assert said.count("\n") == 1


def test_a_wrong_setting_is_named(monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("PREDICTOR_PORT", "many")
    assert main() == 2
    assert "PREDICTOR_PORT" in capfd.readouterr().err
