"""Serve one exported version after the other with a real predictor, and compare its responses.

The predictor follows a minimal registry of this module; it reads the files from their folder.
"""

import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx

from compatibility.cases import CASE
from compatibility.protocols import (
    MODEL,
    PROTOCOLS,
    Compared,
    Refused,
    difference,
    predict,
    prediction_difference,
)
from demo.processes import free_port, running, start_predictor

Outcome = Literal["agrees", "in part", "differs", "refused"]
TOLERANCE = 1e-6  # difference from ONNX Runtime on the same file, relative above 1
_LOAD_TIMEOUT_SECONDS = 60  # for one small model, on a busy machine


@dataclass(frozen=True)
class Result:
    """The result of one case.

    `by_protocol` has each protocol's comparison, or the reason of its refusal. It is empty if the version
    was refused; then `refusal` has the reason. `library` is the largest difference between `/predict` and
    the library, `converted` the one between ONNX Runtime and the library.
    """

    case: dict[str, Any]
    by_protocol: Mapping[str, Compared | str] = field(default_factory=dict)
    served_as: str = ""
    library: float = math.nan
    converted: float = math.nan
    refusal: str = ""

    @property
    def outcome(self) -> Outcome:
        """The summary of the result."""
        if self.refusal:
            return "refused"
        compared = [each for each in self.by_protocol.values() if isinstance(each, Compared)]
        if any(each.difference > TOLERANCE for each in compared):
            return "differs"
        if len(compared) < len(self.by_protocol) or any(each.missing for each in compared):
            return "in part"
        return "agrees"


class Registry:
    """A minimal MLflow registry: the desired version, and the location of its files."""

    def __init__(self) -> None:
        """Start without a version."""
        self.version = 0
        self.folder: Path | None = None
        handler = type("Handler", (_Handler,), {"registry": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def promote(self, folder: Path) -> str:
        """Make the version in `folder` the desired one; return its number."""
        self.folder = folder
        self.version += 1
        return str(self.version)

    @contextmanager
    def running(self) -> Iterator["Registry"]:
        """Serve requests in a thread during the block."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any] | None:
        """The response body; None for an unknown resource."""
        if path.endswith("/get-latest-versions"):
            version = {"name": MODEL, "version": str(self.version), "source": str(self.folder)}
            return {"model_versions": [version]} if self.folder else {}
        if path.endswith("/get-download-uri"):
            requested = query["version"][0]
            return {"artifact_uri": str(self.folder)} if requested == str(self.version) else None
        return None


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore connections that a stopping predictor closes."""


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        found = self.registry.answer(parts.path, parse_qs(parts.query))
        unknown = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}
        body = json.dumps(unknown if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Do not log requests."""


def english_locale(folder: Path) -> dict[str, str]:
    """Environment variables for a child process on a machine without en_US.UTF-8, which text models need.

    They make C.UTF-8, which every Debian has, available under that name, as in the image. ONNX Runtime uses
    only the locale's case conversion, which is the same in both.
    """
    installed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    if "en_US.utf8" in installed:
        return {}
    link = folder / "locales" / "en_US.UTF-8"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("/usr/lib/locale/C.utf8")
    return {"LOCPATH": str(link.parent)}


def serve(folders: list[Path], scratch: Path, progress: Callable[[Result], None]) -> list[Result]:
    """Serve each version, and return the results."""
    with Registry().running() as registry:
        settings = {
            "MLFLOW_TRACKING_URI": registry.url,
            "PREDICTOR_MODEL_URI": f"models:/{MODEL}/Production",
            "PREDICTOR_POLL_SECONDS": "0.05",
            **english_locale(scratch),
        }
        child = start_predictor(scratch, free_port(), settings)
        with running(child), httpx.Client(base_url=child.url, timeout=30) as client:
            results = []
            for folder in folders:
                results.append(_try_version(client, registry, folder))
                progress(results[-1])
            return results


def _try_version(client: httpx.Client, registry: Registry, folder: Path) -> Result:
    case = json.loads((folder / CASE).read_text())
    refusal = _wait_until_served_or_refused(client, registry.promote(folder))
    if refusal:
        return Result(case, refusal=refusal)
    by_protocol = {name: _compared(compare, client, case) for name, compare in PROTOCOLS.items()}
    converted = difference(
        [case["library_answers"]["predictions"], case["library_answers"]["probabilities"]],
        [case["onnx_answers"]["predictions"], case["onnx_answers"]["probabilities"]],
    )
    try:
        responses = predict(client, case)
    except Refused:
        return Result(case, by_protocol, converted=converted)
    library = prediction_difference(case, responses, "library_answers")
    return Result(case, by_protocol, _served_as(responses[0]), library, converted)


def _compared(
    compare: Callable[[httpx.Client, Any], Compared], client: httpx.Client, case: Any
) -> Compared | str:
    try:
        return compare(client, case)
    except Refused as refused:
        return str(refused)


def _served_as(answer: Mapping[str, Any]) -> str:
    """Describe the type of a response: a classifier, a label, a number, or several of them."""
    prediction = answer["prediction"]
    kind = "label" if isinstance(prediction, (str, int)) else "number"
    if isinstance(prediction, list):
        kind = (
            f"{len(prediction)} {'labels' if isinstance(prediction[0], (str, int)) else 'numbers'}"
        )
    if "probabilities" in answer:
        kind = f"{len(answer['probabilities'])} classes"
    named = ", ".join(f"`{name}`" for name in answer.get("outputs", {}))
    return f"{kind}, and {named}" if named else kind


def _wait_until_served_or_refused(client: httpx.Client, version: str) -> str:
    """Wait until the version serves; return an empty text, or the reason of its refusal."""
    deadline = time.monotonic() + _LOAD_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        status = client.get("/model").json()
        if status["serving"] and status["serving"]["model_version"] == version:
            return ""
        failure = status["last_failure"]
        if failure and failure["model_version"] == version:
            return f"{failure['stage']}: {failure['reason']}"
        time.sleep(0.01)
    return f"neither served nor refused within {_LOAD_TIMEOUT_SECONDS} s"
