"""Two services and a real nats-server: a webhook that reaches one of them moves both, and `trainer fleet` shows it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.processes import ROOT
from tests.end_to_end.parts import Registry, Service, wait_until
from tests.nats_server import nats_server
from trainer.webhooks import Webhooks, read_secret

pytestmark = pytest.mark.whole

pytest.importorskip("nats", reason="nats-py is not installed; `make environments` installs it")

NEVER = "3600"  # seconds between polls, the most that can be set


def fleet(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer", "fleet", "--nats", url, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_webhook_to_one_replica_moves_all(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Polls come once an hour and bring nothing. Without NATS, the webhook moves its receiver only."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has nats-py
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef\n")
    webhooks = Webhooks(registry.client)
    registry.client.set_registered_model_alias(registry.name, "production", "1")
    with nats_server(tmp_path) as server:
        settings = {
            "PREDICTOR_POLL_SECONDS": NEVER,
            "PREDICTOR_MODEL_URI": f"models:/{registry.name}@production",
            "PREDICTOR_NATS_URL": server.url,
        }
        first = serve(registry, "first", PREDICTOR_WEBHOOK_SECRET_FILE=str(secret), **settings)
        second = serve(registry, "second", **settings)
        for each in (first, second):
            each.until_serving("1")
            wait_until(lambda: "fleet_connected" in each.child.log.read_text(), "NATS is there")  # noqa: B023
        webhooks.put(registry.name, f"{first.child.url}/webhooks/mlflow", read_secret(secret))
        try:
            registry.client.set_registered_model_alias(registry.name, "production", "2")
            for each in (first, second):
                each.until_serving("2")
            wait_until(lambda: fleet(server.url).returncode == 0, "both have reported")
            shown = fleet(server.url, "--model", registry.name)
            assert shown.stdout.count(f"models:/{registry.name}@production") == 2
            assert "2 replicas, 0 lag" in shown.stdout
            listed = json.loads(fleet(server.url, "--json").stdout)
            assert [(each["desired"], each["lags"]) for each in listed] == [("2", False)] * 2
            assert "no replica of other" in fleet(server.url, "--model", "other").stdout
            assert fleet(server.url, "--model", "other", "--json").stdout == "[]\n"
            server.stop()
            registry.client.set_registered_model_alias(registry.name, "production", "1")
            first.until_serving("1")
            assert second.serving() == "2"
            assert second.predict(second.example())["model_version"] == "2"
        finally:
            webhooks.remove(registry.name)


def test_fleet_without_a_server_is_an_error() -> None:
    """One line, and no traceback."""
    refused = fleet("nats://127.0.0.1:1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: no status could be read from nats://127.0.0.1:1: ")
    assert refused.stderr.count("\n") == 1
