"""The three servers, each started on the server's core and awaited."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks.registry import Published
from benchmarks.stage import Stage
from benchmarks.subject import Subject
from demo.processes import Child, free_port, predictor_python, running, spawn, start_predictor
from stress.truth import WrongAnswerError

EMPTY, BY_HAND, PREDICTOR = "empty ASGI app", "FastAPI by hand", "predictor"
_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header")


def all_three(stage: Stage, published: Published) -> dict[str, Subject]:
    """The references and the predictor with its settings' defaults, by name, all serving."""
    started = (
        empty(stage, published),
        by_hand(stage, published),
        predictor(stage, published),
    )
    return {subject.name: subject for subject in started}


def empty(stage: Stage, published: Published) -> Subject:
    """The ASGI application that does nothing."""
    child = _uvicorn(stage, "empty", {})
    return subject(stage, published, EMPTY, child, _check_empty)


def by_hand(stage: Stage, published: Published) -> Subject:
    """FastAPI, Pydantic and ONNX Runtime, with the first version's file."""
    child = _uvicorn(stage, "fastapi_by_hand", by_hand_settings(published))
    return subject(stage, published, BY_HAND, child, published.truth.first_unversioned)


def by_hand_settings(published: Published) -> dict[str, str]:
    """What that application reads."""
    return {"MODEL": str(published.files[0]), "CLASSES": ",".join(published.truth.classes)}


def predictor(
    stage: Stage, published: Published, settings: Mapping[str, str] | None = None
) -> Subject:
    """The real predictor, which follows the registry's alias."""
    env = {**published.settings, **(settings or {})}
    with stage.cores.of_the_server():
        child = start_predictor(predictor_folder(stage, published), free_port(), env)
    stage.stack.enter_context(running(child, "/ready"))
    return subject(stage, published, PREDICTOR, child, published.truth.first)


def subject(
    stage: Stage,
    published: Published,
    name: str,
    child: Child,
    check: Callable[[bytes], object],
) -> Subject:
    """A server that was started, to be asked for one record and measured as the plan says."""
    return Subject(name, child, record_file(stage, published), check, tries=stage.plan.tries)


def predictor_folder(stage: Stage, published: Published) -> Path:
    """Where the predictor of this model keeps its cache and its log."""
    return stage.folder / f"predictor-{published.name}"


def record_file(stage: Stage, published: Published) -> Path:
    """The body of one record."""
    file = stage.folder / f"{published.name}.json"
    file.write_bytes(msgspec.json.encode(published.truth.records[0]))
    return file


def reference_command(module: str, port: int) -> list[str]:
    """How uvicorn runs one of the references."""
    return [
        predictor_python(), "-m", "uvicorn", f"benchmarks.references.{module}:app",
        "--port", str(port), *_UVICORN,
    ]  # fmt: skip


def _uvicorn(stage: Stage, module: str, env: Mapping[str, str]) -> Child:
    port = free_port()
    log = stage.folder / f"{module}.log"
    with stage.cores.of_the_server():
        child = spawn(reference_command(module, port), f"http://127.0.0.1:{port}", log, env)
    return stage.stack.enter_context(running(child))


def _check_empty(body: bytes) -> None:
    if body != b"{}":
        raise WrongAnswerError(f"not empty: {body[:100]!r}")
