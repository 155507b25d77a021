"""`python -m trainer webhook`, on a real MLflow server: set twice is set once, and what is deleted is gone."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from trainer.cli import app
from trainer.errors import RegistryError
from trainer.webhooks import EVENTS, Webhooks


@pytest.fixture
def webhooks(mlflow_client):
    made = Webhooks(mlflow_client)
    yield made
    for each in made.all():
        mlflow_client.delete_webhook(each.webhook_id)


@pytest.fixture
def run(mlflow_server, monkeypatch, webhooks):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    return lambda *arguments: CliRunner().invoke(app, ["webhook", *arguments])


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("new\nold\n")
    return str(path)


@pytest.fixture
def receiver():
    """A web server that answers each path with the code in it, and keeps the header fields."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            server.got.append(dict(self.headers))
            self.send_response(int(self.path.rpartition("/")[2]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.got = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_set_twice_is_set_once(run, webhooks, mlflow_client, secret):
    """The one of that name is changed, another name is another service, and copies go."""
    assert "tells http://a:1/x" in run("set", "http://a:1/x", "--secret-file", secret).stdout
    mlflow_client.create_webhook("mlflow-hotswap", "http://a:1/x", EVENTS[:1])
    run("set", "http://b:1/x", "--secret-file", secret, "--name", "other")
    done = run("set", "http://c:1/x", "--secret-file", secret)
    assert "now tells http://c:1/x" in done.stdout
    found = {each.name: each for each in webhooks.all()}
    assert len(webhooks.all()) == 2
    assert (found["mlflow-hotswap"].url, found["other"].url) == ("http://c:1/x", "http://b:1/x")
    assert sorted(map(str, found["mlflow-hotswap"].events)) == sorted(EVENTS)
    listed = run("list").stdout
    assert "mlflow-hotswap  ACTIVE  http://c:1/x" in listed


def test_a_disabled_webhook_is_enabled_again(run, webhooks, mlflow_client, secret):
    """As it is when it is new."""
    run("set", "http://a:1/x", "--secret-file", secret)
    (made,) = webhooks.all()
    mlflow_client.update_webhook(made.webhook_id, status="DISABLED")
    run("set", "http://a:1/x", "--secret-file", secret)
    assert [each.status.is_active() for each in webhooks.all()] == [True]


def test_deleted_twice_is_deleted_once(run, webhooks, secret):
    """And nothing else is."""
    run("set", "http://a:1/x", "--secret-file", secret)
    run("set", "http://a:1/x", "--secret-file", secret, "--name", "other")
    assert "was deleted" in run("delete").stdout
    assert "is not there" in run("delete").stdout
    assert [each.name for each in webhooks.all()] == ["other"]
    run("delete", "--name", "other")
    assert "MLflow tells nobody" in run("list").stdout


def test_an_example_shows_whether_the_service_takes_it(run, receiver, secret):
    """Signed with the first line; what the service says is repeated, with exit code 1."""
    done = run("set", f"{receiver.url}/200", "--secret-file", secret, "--try")
    assert (done.exit_code, "an example was taken, with 200" in done.stdout) == (0, True)
    assert receiver.got[0]["X-MLflow-Signature"].startswith("v1,")
    done = run("set", f"{receiver.url}/403", "--secret-file", secret, "--try")
    assert done.exit_code == 1
    assert "did not accept the example that MLflow sent: 403" in done.stderr


def test_a_wrong_secret_file_changes_nothing(run, webhooks, tmp_path):
    """One line that says what to do, and exit code 1."""
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for path in (empty, tmp_path / "nowhere"):
        done = run("set", "http://a:1/x", "--secret-file", str(path))
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error: {path} gives no secret for the webhook: ")
    assert webhooks.all() == []


def test_mlflows_own_words_when_it_refuses(run, secret):
    """Such as a scheme that it does not send to."""
    done = run("set", "ftp://a/x", "--secret-file", secret)
    assert done.exit_code == 1
    assert "MLflow refused to set webhook mlflow-hotswap: " in done.stderr
    assert "Invalid webhook URL scheme: 'ftp'" in done.stderr


def test_only_one_that_is_there_can_be_tried(webhooks):
    """The name is in the message."""
    with pytest.raises(RegistryError, match="'nobody'"):
        webhooks.try_out("nobody")
