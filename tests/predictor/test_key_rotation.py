"""Keys change while a real service of two workers runs, on connections that stay open."""

import http.client
import json
import secrets

import pytest

from demo.processes import free_port, running, start_predictor
from predictor.keys import line_of
from tests.end_to_end.parts import wait_until

CONNECTIONS = 8  # so many that each worker has some
NOTHING_SERVES = 503  # the answer to an accepted key


@pytest.mark.whole
def test_keys_are_replaced_without_a_restart(tmp_path):
    """In every worker, on every connection. A broken file changes no keys."""
    old, new, operations = (secrets.token_urlsafe() for _ in range(3))
    files = {
        "PREDICTOR_API_KEYS_FILE": tmp_path / "api",
        "PREDICTOR_OPERATIONS_KEYS_FILE": tmp_path / "ops",
    }
    put(files["PREDICTOR_API_KEYS_FILE"], line_of("ward-1", old))
    put(files["PREDICTOR_OPERATIONS_KEYS_FILE"], line_of("prometheus", operations))
    env = {name: str(path) for name, path in files.items()}
    env |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "PREDICTOR_WORKERS": "2"}
    env |= {"PREDICTOR_HOST": "0.0.0.0"}
    with running(start_predictor(tmp_path, port := free_port(), env)) as child:
        clients = [
            http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(CONNECTIONS)
        ]

        def all_answer(key, status):
            return {ask(client, key) for client in clients} == {status}

        assert all_answer(old, NOTHING_SERVES)
        assert all_answer(new, 401)
        sockets = [client.sock for client in clients]
        put(files["PREDICTOR_API_KEYS_FILE"], line_of("ward-1", new))
        wait_until(lambda: all_answer(old, 401), "the old key works no longer")
        wait_until(lambda: all_answer(new, NOTHING_SERVES), "the new key works")
        put(files["PREDICTOR_API_KEYS_FILE"], new)
        wait_until(lambda: log(child).count("keys_not_read") == 2, "both workers say so")
        assert all_answer(new, NOTHING_SERVES)
        assert all_answer(old, 401)
        assert [client.sock for client in clients] == sockets
        clients[0].request("GET", "/metrics", headers={"X-API-Key": operations})
        metrics = clients[0].getresponse().read().decode()
        (failures,) = (
            v for v in metrics.splitlines() if v.startswith("predictor_key_file_failures_total")
        )
        assert float(failures.split()[1]) >= 2
    said = child.log.read_text()
    assert log(child).count("keys_read") == 2
    assert not [key for key in (old, new, operations) if key in said]


def put(path, line):
    """Write a new file and rename it, so that no reader sees half of it."""
    beside = path.with_suffix(".new")
    beside.write_text(line)
    beside.replace(path)


def ask(client, key):
    client.request("POST", "/predict", b"{}", {"Authorization": f"Bearer {key}"})
    response = client.getresponse()
    response.read()
    return response.status


def log(child):
    return [json.loads(line)["event"] for line in child.log.read_text().splitlines()]
