"""Start the three measured servers on the server's core."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks.context import BenchContext
from benchmarks.registry import Published
from benchmarks.subject import Subject
from demo.processes import Child, free_port, predictor_python, running, spawn, start_predictor
from stress.truth import WrongAnswerError

EMPTY, BY_HAND, PREDICTOR = "empty ASGI app", "FastAPI by hand", "predictor"
_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header")


def all_three(context: BenchContext, published: Published) -> dict[str, Subject]:
    """Start both references and a predictor with default settings; by name."""
    started = (
        empty(context, published),
        by_hand(context, published),
        predictor(context, published),
    )
    return {subject.name: subject for subject in started}


def empty(context: BenchContext, published: Published) -> Subject:
    """Start the empty ASGI application."""
    child = _uvicorn(context, "empty", {})
    return subject(context, published, EMPTY, child, check_empty)


def by_hand(context: BenchContext, published: Published) -> Subject:
    """Start the hand-written FastAPI service with the first version's file."""
    child = _uvicorn(context, "fastapi_by_hand", by_hand_settings(published))
    return subject(context, published, BY_HAND, child, published.truth.first_unversioned)


def by_hand_settings(published: Published) -> dict[str, str]:
    """Environment variables of the hand-written service."""
    return {"MODEL": str(published.files[0]), "CLASSES": ",".join(published.truth.classes)}


def predictor(
    context: BenchContext, published: Published, settings: Mapping[str, str] | None = None
) -> Subject:
    """Start a real predictor that follows the registry's alias."""
    env = {**published.settings, **(settings or {})}
    with context.cores.pin_children_to_server():
        child = start_predictor(predictor_folder(context, published), free_port(), env)
    context.stack.enter_context(running(child, "/ready"))
    return subject(context, published, PREDICTOR, child, published.truth.first)


def subject(
    context: BenchContext,
    published: Published,
    name: str,
    child: Child,
    check: Callable[[bytes], object],
) -> Subject:
    """A measurement subject that gets requests of one record."""
    return Subject(name, child, record_file(context, published), check, tries=context.plan.tries)


def predictor_folder(context: BenchContext, published: Published) -> Path:
    """The folder of the predictor's cache and log."""
    return context.folder / f"predictor-{published.name}"


def record_file(context: BenchContext, published: Published) -> Path:
    """Write a request body of one record to a file."""
    file = context.folder / f"{published.name}.json"
    file.write_bytes(msgspec.json.encode(published.truth.records[0]))
    return file


def reference_command(module: str, port: int) -> list[str]:
    """The command that runs a reference under uvicorn."""
    return [
        predictor_python(), "-m", "uvicorn", f"benchmarks.references.{module}:app",
        "--port", str(port), *_UVICORN,
    ]  # fmt: skip


def _uvicorn(context: BenchContext, module: str, env: Mapping[str, str]) -> Child:
    port = free_port()
    log = context.folder / f"{module}.log"
    with context.cores.pin_children_to_server():
        child = spawn(reference_command(module, port), f"http://127.0.0.1:{port}", log, env)
    return context.stack.enter_context(running(child))


def check_empty(body: bytes) -> None:
    """Check a response of an empty application. Raises WrongAnswerError."""
    if body != b"{}":
        raise WrongAnswerError(f"expected an empty object, got {body[:100]!r}")
