"""A server that answers wrong is not measured."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import Popen

import pytest

from benchmarks.errors import BenchError
from benchmarks.subject import Subject
from demo.processes import Child
from stress.truth import Reference, Truth

TRUTH = Truth(
    "m",
    ({"x": 1.0},),
    (Reference("", ({"a": 0.25, "b": 0.75},)), Reference("", ({"a": 0.5, "b": 0.5},))),
    tolerance=1e-6,
)
ANSWER = {
    "prediction": "b",
    "probability": 0.75,
    "probabilities": {"a": 0.25, "b": 0.75},
    "model_name": "m",
    "model_version": "1",
}


@pytest.fixture
def subject(tmp_path):
    """A function: the subject whose server gives this answer."""
    servers = []

    def serve(answer, status=200, check=TRUTH.first):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        body = tmp_path / "body.json"
        body.write_text('{"x": 1.0}')
        url = f"http://127.0.0.1:{server.server_port}"
        return Subject("it", Child(Popen(["true"]), url, tmp_path / "log"), body, check)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_right_answer_passes(subject):
    """Rounding of a float32 is no fault."""
    near = {"a": 0.25 + 1e-7, "b": 0.75}
    subject({**ANSWER, "probabilities": near}).verify()


@pytest.mark.parametrize(
    "wrong",
    [
        {"probabilities": {"a": 0.26, "b": 0.74}},
        {"probabilities": {"a": 0.25}},
        {"prediction": "a"},
        {"model_version": "2"},
        {"model_name": "other"},
    ],
)
def test_a_wrong_answer_ends_the_run(subject, wrong):
    """Another probability, another label, another version."""
    with pytest.raises(BenchError, match="it answers wrong"):
        subject({**ANSWER, **wrong}).verify()


def test_an_error_ends_the_run(subject):
    """Even one with the right body."""
    with pytest.raises(BenchError, match="503"):
        subject(ANSWER, status=503).verify()


def test_a_batch_has_an_answer_for_each_record(subject):
    """Fewer answers would be faster."""
    rows = {"predictions": [ANSWER], "model_name": "m", "model_version": "1"}
    subject(rows, check=lambda body: TRUTH.batch(body, [0])).verify()
    with pytest.raises(BenchError, match="2 records got 1 answers"):
        subject(rows, check=lambda body: TRUTH.batch(body, [0, 0])).verify()
