"""The connection of the trainer: the address, and a token in a file that MLflow's own client does not know."""

import base64
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from trainer.cli import app
from trainer.errors import RegistryError
from trainer.mlflow_server import connect

NAMES = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_TOKEN_FILE",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
)


@pytest.fixture
def registry(monkeypatch):
    """A server that refuses everything, and records paths and credentials."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path.partition("?")[0], self.headers.get("Authorization")))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}/ml/flow//")
    yield seen
    for name in NAMES:
        os.environ.pop(name, None)
    connect()  # without a file, no token is left for the next test
    server.shutdown()
    server.server_close()


def ask(client):
    with pytest.raises(MlflowException):
        client.get_registered_model("m")


def test_the_token_of_a_file_is_read_for_each_request(registry, monkeypatch, tmp_path, capsys):
    """It counts more than the variable. A file that cannot be read leaves the previous token, and says so."""
    path = tmp_path / "token"
    path.write_text("one\n")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN_FILE", str(path))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "another")
    client = connect()
    ask(client)
    path.write_text("two")
    ask(client)
    path.write_text("")
    ask(client)
    assert [token for _, token in registry] == ["Bearer one", "Bearer two", "Bearer two"]
    assert "the previous token is sent" in capsys.readouterr().err


def test_a_path_and_slashes_at_its_end(registry):
    """The path stays, and no path has two slashes."""
    ask(connect())
    assert registry == [("/ml/flow/api/2.0/mlflow/registered-models/get", None)]
    assert os.environ["MLFLOW_TRACKING_URI"].endswith("/ml/flow")


def test_user_and_password_count_more_than_the_file(registry, monkeypatch, tmp_path):
    """As in the service."""
    (tmp_path / "token").write_text("one")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p")
    ask(connect())
    assert [token.partition(" ")[0] for _, token in registry] == ["Basic"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "must hold one token"), (b"a b", "must hold one token"), (b"\xff", "not ASCII"), (None, "No such file")],
)  # fmt: skip
def test_a_file_without_a_token_ends_a_command(registry, monkeypatch, tmp_path, content, words):
    """With one line that names the variable."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN_FILE", str(path))
    with pytest.raises(RegistryError, match=f"MLFLOW_TRACKING_TOKEN_FILE: .*{words}"):
        connect()
    result = CliRunner().invoke(app, ["status"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert words in result.stderr
    assert registry == []


def test_a_password_in_the_address_is_sent_and_not_shown(registry, monkeypatch):
    """The address without it is in errors, and in what a training records."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("://", "://ada:s3cret%21@"))
    client = connect()
    ask(client)
    assert registry[0][1] == f"Basic {base64.b64encode(b'ada:s3cret!').decode()}"
    assert "s3cret" not in client.tracking_uri + os.environ["MLFLOW_TRACKING_URI"]


def test_databricks_is_refused_and_says_what_to_use(monkeypatch):
    """The service follows it, the trainer does not move anything there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    with pytest.raises(RegistryError, match="move aliases in its page"):
        connect()
