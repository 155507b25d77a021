"""Every secret is set to a marked value that breaks something; nothing that comes out of the service has it.

The registry of these tests says in each answer what it was sent, as a debugging proxy would.
"""

import base64
import hashlib
import json
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from demo.processes import free_port, running, start_predictor

MARK = "mArKeD"
pytestmark = pytest.mark.whole
KEYS = {"api": "a" * 43, "operations": "o" * 43}
OPEN = (
    "/health",
    "/ready",
    "/ping",
    "/version",
    "/openapi.json",
    "/",
    "/docs",
    "/v2/health/live",
    "/v2/health/ready",
    "/nowhere",
)
WITH_KEY = ("/v2", "/v2/models/m", "/v2/models/m/ready", "/v2/models/m/versions/1")
POSTED = (
    "/predict",
    "/predict/batch",
    "/predict/what-if",
    "/predict/explain",
    "/invocations",
    "/v2/models/m/infer",
)
OPERATIONS = ("/model", "/metrics")

WRONG = {
    "line break at the end": "\n",
    "line break": "\nx",
    "carriage return": "\rx",
    "control": "\x01x",
    "not ASCII": "é",
}
ODD = {
    "quote": "\"x'",
    "backslash": "\\x",
    "percent": "%0d%0a",
    "very long": "x" * 60_000,
    "colon": ":x",
}

ENVIRONMENTS = {
    **{
        f"{name}, {what}": {name: MARK + odd, **more}
        for name, more in (
            ("MLFLOW_TRACKING_TOKEN", {}), ("MLFLOW_TRACKING_PASSWORD", {"MLFLOW_TRACKING_USERNAME": "ada"}),
        )
        for what, odd in {**WRONG, **ODD}.items()
    },
    "user info": {"MLFLOW_TRACKING_URI": f"http://ada:{MARK}%22%25@ADDRESS"},
    "user info without a colon": {"MLFLOW_TRACKING_URI": f"http://{MARK}@ADDRESS"},
    "a proxy": {"HTTP_PROXY": f"http://ada:{MARK}@ADDRESS"},
    "a client certificate": {"MLFLOW_TRACKING_CLIENT_CERT_PATH": f"/nowhere\n{MARK}"},
    "a collector's headers": {
        "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://ADDRESS",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {MARK},x={MARK}%22\n",
    },
    "a store's key": {"AWS_SECRET_ACCESS_KEY": f"{MARK}\n", "AWS_SESSION_TOKEN": f"{MARK}\r\nx"},
}  # fmt: skip


class Echo(BaseHTTPRequestHandler):
    """A registry that says what it was sent."""

    def do_GET(self):
        said = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        self.answer(500, {"error_code": said, "message": said})

    def do_POST(self):
        self.do_GET()

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def keyed(folder):
    """Files of keys, so that what is open, what an API key opens and what operators see are apart."""
    for kind, key in KEYS.items():
        (folder / kind).write_text(f"{kind}:{hashlib.sha256(key.encode()).hexdigest()}\n")
    return {
        "PREDICTOR_API_KEYS_FILE": str(folder / "api"),
        "PREDICTOR_OPERATIONS_KEYS_FILE": str(folder / "operations"),
    }


def told(response):
    return f"{response.status_code} {response.headers} {response.text}"


def asked(url, kind, paths, method="GET"):
    headers = {"X-API-Key": KEYS[kind]} if kind else {}
    with httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
        return [
            told(client.request(method, path, content=b"{}" if method == "POST" else None))
            for path in paths
        ]


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_secret_comes_out_nowhere(tmp_path, address, environment):
    """In no answer, header, metric, event or line of the log, and neither base64 of it.

    Who has no key for operations is not told the registry's address either.
    """
    env = {
        "MLFLOW_TRACKING_URI": f"http://{address}",
        "PREDICTOR_MODEL_URI": "models:/m/1",
        **keyed(tmp_path),
        **environment,
    }
    env = {name: value.replace("ADDRESS", address) for name, value in env.items()}
    child = start_predictor(tmp_path, free_port(), env | {"PREDICTOR_LOG_LEVEL": "debug"})
    public, operators = [], []
    with ExitStack() as stack:
        stack.callback(child.stop)
        if _answers(child):
            stack.enter_context(running(child))
            public += asked(child.url, None, OPEN) + asked(child.url, "api", (*OPEN, *WITH_KEY))
            public += asked(child.url, "api", POSTED, "POST")
            operators += asked(child.url, "operations", OPERATIONS)
            assert len({line.split()[0] for line in operators}) == 1
    log = child.log.read_text()
    everything = "\n".join([*public, *operators, log])
    basic = base64.b64encode(
        f"ada:{environment.get('MLFLOW_TRACKING_PASSWORD', MARK)}".strip().encode()
    ).decode()
    for secret in (MARK, basic.rstrip("=")[:-2]):
        assert secret not in everything
    assert address not in "\n".join(public)
    assert "Traceback" not in log


def _answers(child):
    """Whether it serves; else it ended in one line that names a variable, with exit code 2."""
    while child.process.poll() is None:
        try:
            return httpx.get(f"{child.url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            continue
    assert child.process.returncode == 2
    said = child.log.read_text()
    assert said.count("\n") == 1
    assert "MLFLOW_" in said or "OTEL_" in said
    return False
