"""The half that serves: the real predictor, in its own environment, answers for one version after another.

It asks a registry of ours, which names the version that is tried; the files are read from their folder.
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
from compatibility.doors import (
    DOORS,
    MODEL,
    Compared,
    Refused,
    answers,
    difference,
    predict,
)
from demo.processes import free_port, running, start_predictor

Outcome = Literal["agrees", "in part", "differs", "refused"]
TOLERANCE = 1e-6  # from ONNX Runtime on the same file, relative above 1
_SECONDS = 60  # to load one small model, on a machine however busy


@dataclass(frozen=True)
class Result:
    """What became of one case.

    `doors` has what each protocol gave, or why it refused; it is empty where the version was
    refused, with the reason in `refusal`. `library` is the largest difference between `/predict`
    and the library's own answers, `converted` that between ONNX Runtime's and the library's.
    """

    case: dict[str, Any]
    doors: Mapping[str, Compared | str] = field(default_factory=dict)
    served_as: str = ""
    library: float = math.nan
    converted: float = math.nan
    refusal: str = ""

    @property
    def outcome(self) -> Outcome:
        """In one word."""
        if self.refusal:
            return "refused"
        compared = [each for each in self.doors.values() if isinstance(each, Compared)]
        if any(each.difference > TOLERANCE for each in compared):
            return "differs"
        if len(compared) < len(self.doors) or any(each.missing for each in compared):
            return "in part"
        return "agrees"


class Registry:
    """MLflow's registry, as far as the predictor asks it: which version, and where are its files."""

    def __init__(self) -> None:
        """Names no version yet."""
        self.version = 0
        self.folder: Path | None = None
        handler = type("Handler", (_Handler,), {"registry": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def name(self, folder: Path) -> str:
        """Say from now on that the version in `folder` should serve; its number."""
        self.folder = folder
        self.version += 1
        return str(self.version)

    @contextmanager
    def answering(self) -> Iterator["Registry"]:
        """Answer in a thread meanwhile."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any] | None:
        """The body of an answer; None for what it does not know."""
        if path.endswith("/get-latest-versions"):
            version = {"name": MODEL, "version": str(self.version), "source": str(self.folder)}
            return {"model_versions": [version]} if self.folder else {}
        if path.endswith("/get-download-uri"):
            asked = query["version"][0]
            return {"artifact_uri": str(self.folder)} if asked == str(self.version) else None
        return None


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that a predictor, as it ends, leaves."""


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
        """Say nothing."""


def english_locale(folder: Path) -> dict[str, str]:
    """What a child needs in its environment where en_US.UTF-8, which text models ask for, is not installed.

    The image has the same link: of a locale, ONNX Runtime takes how letters become small or large,
    and that is the same in C.UTF-8, which every Debian has.
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
    """Have each version served, ask it, and say what came back."""
    with Registry().answering() as registry:
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
                results.append(_tried(client, registry, folder))
                progress(results[-1])
            return results


def _tried(client: httpx.Client, registry: Registry, folder: Path) -> Result:
    case = json.loads((folder / CASE).read_text())
    refusal = _until_decided(client, registry.name(folder))
    if refusal:
        return Result(case, refusal=refusal)
    doors = {name: _compared(compare, client, case) for name, compare in DOORS.items()}
    converted = difference(
        [case["library_answers"]["predictions"], case["library_answers"]["probabilities"]],
        [case["onnx_answers"]["predictions"], case["onnx_answers"]["probabilities"]],
    )
    try:
        told = predict(client, case)
    except Refused:
        return Result(case, doors, converted=converted)
    library = answers(case, told, "library_answers")
    return Result(case, doors, _served_as(told[0]), library, converted)


def _compared(
    compare: Callable[[httpx.Client, Any], Compared], client: httpx.Client, case: Any
) -> Compared | str:
    try:
        return compare(client, case)
    except Refused as refused:
        return str(refused)


def _served_as(answer: Mapping[str, Any]) -> str:
    """What the first answer shows: a classifier, a label, a number, several of them."""
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


def _until_decided(client: httpx.Client, version: str) -> str:
    """Wait until the version serves (an empty text) or is refused (the reason)."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        said = client.get("/model").json()
        if said["serving"] and said["serving"]["model_version"] == version:
            return ""
        failure = said["last_failure"]
        if failure and failure["model_version"] == version:
            return f"{failure['stage']}: {failure['reason']}"
        time.sleep(0.01)
    return f"neither served nor refused within {_SECONDS} s"
