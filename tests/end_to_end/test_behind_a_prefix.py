"""A registry below a path, with workspaces and a bearer token that rotates: the service and every command of the trainer.

nginx checks the token and removes the path; MLflow itself has neither.
"""

import contextlib
import os
import subprocess
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from demo.processes import free_port, running, start_mlflow
from tests.end_to_end.parts import Registry, Service, starter, wait_until
from tests.required import program
from trainer.cli import app

pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]  # it trains, and runs twenty commands

NGINX = """
user root;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /ml/flow/ {{
      set $valid "";
      if ($http_authorization = "Bearer token-one") {{ set $valid yes; }}
      if (-f {folder}/rotated) {{ set $valid ""; }}
      if ($http_authorization = "Bearer token-two") {{ set $valid yes; }}
      if ($valid = "") {{ return 401; }}
      proxy_pass {mlflow}/;
    }}
    location / {{ return 404; }}
  }}
}}
"""


class Front:
    """nginx before an MLflow server with workspaces. `rotate` replaces the token, as Kubernetes does."""

    def __init__(self, folder: Path, mlflow: str) -> None:
        self.folder, self.mlflow, self.port = folder, mlflow, free_port()
        self.url = f"http://127.0.0.1:{self.port}/ml/flow/"
        self.token = folder / "token"
        self.token.write_text("token-one\n")
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=self.port, mlflow=mlflow))
        self.process = subprocess.Popen([program("nginx"), "-c", str(file), "-g", "daemon off;"])

    @property
    def env(self) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.url, "MLFLOW_WORKSPACE": "team-a", "MLFLOW_TRACKING_TOKEN": "not-this-one",
            "MLFLOW_TRACKING_TOKEN_FILE": str(self.token),
        }  # fmt: skip

    def rotate(self) -> None:
        """A new file takes the place of the old one, and the old token is refused."""
        new = self.folder / "token.new"
        new.write_text("token-two\n")
        new.replace(self.token)
        (self.folder / "rotated").touch()

    def trainer(self, *arguments: str) -> str:
        """Run a command in this process; return what it prints."""
        result = CliRunner().invoke(app, arguments, env=self.env)
        assert result.exit_code == 0, (arguments, result.output)
        return result.output


@pytest.fixture
def front(tmp_path):
    with running(start_mlflow(tmp_path / "mlflow", options=["--enable-workspaces"])) as server:
        made = httpx.post(
            f"{server.url}/api/3.0/mlflow/workspaces", json={"name": "team-a"}, timeout=60
        )
        assert made.is_success, made.text
        found = Front(tmp_path, server.url)
        try:
            wait_until(lambda: _status(found.url) == 401, "nginx refuses a request without a token")
            yield found
        finally:
            found.process.terminate()
            found.process.wait(20)


def _status(url: str) -> int:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code
    return 0


def test_the_service_and_every_command(front, tmp_path, monkeypatch):
    """Below the path, with the workspace and the token: train, approve, promote, serve, rotate, roll back."""
    monkeypatch.setenv("TRAINER_KEYS_FOLDER", str(tmp_path / "keys"))
    monkeypatch.setenv("TRAINER_PASSPHRASE", "correct horse battery")
    front.trainer("keys", "new", "alice")
    model = ("--model", "below-a-path")
    train = ("train", "--quick", "--candidates", "logistic_regression", *model)
    front.trainer(*train)
    front.trainer("begin", *model)
    assert "serving: version 1 " in front.trainer("status", *model)
    front.trainer(*train)
    front.trainer("convert", f"models:/{model[1]}/1")
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-the-webhooks")
    with contextlib.ExitStack() as stack:
        registry = Registry(front.url, model[1], None)
        service: Service = starter(stack, tmp_path)(registry, **front.env)
        service.until_serving("1")
        front.rotate()
        for command in (
            ["leaderboard"], ["importance"], ["gates", "test_roc_auc:0.9"], ["gates"], ["history"],
            ["approve", "2", "--reason", "a test", "--yes"], ["approvals", "2"],
            ["withdraw", "2", "--reason", "a test", "--yes"], ["audit", "--out", str(tmp_path / "audit")],
            ["promote", "2", "--to", "Staging"],
            ["promote", "2", "--to", "Production", "--force", "--reason", "a test", "--dry-run"],
            ["promote", "2", "--to", "Production", "--force", "--reason", "a test"],
        ):  # fmt: skip
            front.trainer(*command, *model)
        service.until_serving("2")
        front.trainer("rollback", *model)
        service.until_serving("1")
        front.trainer("demote", "1", *model)
        service.until_serving(None)
        front.trainer(
            "webhook", "set", "http://127.0.0.1:9/webhooks/mlflow", "--secret-file", str(secret)
        )
        assert "127.0.0.1:9" in front.trainer("webhook", "list")
        front.trainer("webhook", "delete")
        events = [line["event"] for line in service.log_lines()]
        assert events.count("token_read") == 1
        assert "registry_refused" not in events
    # Nothing of it is in another workspace.
    found = httpx.get(f"{front.mlflow}/api/2.0/mlflow/registered-models/search").json()
    assert not found.get("registered_models")
    assert "token-" not in (tmp_path / "predictor" / "predictor.log").read_text()
    assert os.environ.get("MLFLOW_TRACKING_URI") != front.url
