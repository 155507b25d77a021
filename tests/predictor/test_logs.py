"""One line for each event, as JSON or for a terminal."""

import json
import os
import pty
import subprocess
import sys

EVENTS = """
import asyncio
import logging
import os
from predictor import logs
from predictor.events import *
from predictor.model_version import ModelVersion
A, B = (ModelVersion("m", n, "s", 0) for n in "12")
logs.set_up(os.environ.get("LEVEL", "info"))
for event in (
    RegistryAnswered(A, True), RegistryAnswered(A, False), RegistryAnswered(None, True),
    RegistryFailed("unreachable", "refused", A, True), RegistryFailed("unreachable", "x", A, False),
    RegistryFailed("refused", "401", None, True),
    LoadStarted(B), LoadSuperseded(B), LoadFailed(B, "fetch", "gone", 2, 4.0, A),
    Swapped(None, A, "promoted", 0.25, "d"), Swapped(A, None, "withdrawn"),
):
    logs.write(event)
logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://x")
logging.getLogger("httpx").info("a request")
secret = "SEC" + "RET"  # lines of code may be shown
try:
    try:
        1 / 0
    except ZeroDivisionError:
        raise ExceptionGroup(secret, [ValueError(secret)])
except ExceptionGroup:
    logging.getLogger("uvicorn.error").exception("in a thread")

async def fail():
    def callback(said):
        raise ValueError(said)
    asyncio.get_running_loop().call_soon(callback, secret)
    await asyncio.sleep(0)

asyncio.run(fail())
import warnings
warnings.warn("odd")
"""


def run(**environment):
    """The lines of these events on stderr, parsed."""
    done = subprocess.run(
        [sys.executable, "-c", EVENTS],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_each_event_is_one_json_line():
    """With a stable name, a level, a time, and the model's name and version."""
    lines = run()
    assert [(line["event"].split("\n")[0], line["level"]) for line in lines] == [
        ("registry_answered", "info"), ("registry_names_none", "warning"),
        ("registry_unreachable", "warning"), ("registry_refused", "warning"),
        ("load_started", "info"), ("load_superseded", "info"), ("load_failed", "error"),
        ("swapped", "info"), ("stopped_serving", "warning"),
        ("Uvicorn running on http://x", "info"), ("in a thread", "error"),
        ("callback_failed", "error"), ("<string>:37: UserWarning: odd", "warning"),
    ]  # fmt: skip
    assert all(line["timestamp"].endswith("Z") for line in lines)
    named = [line.get("model_name") for line in lines]
    assert named == ["m", None, "m", None, "m", "m", "m", "m", "m", *[None] * 4]
    assert (lines[0]["desired"], lines[1]["reason"], lines[2]["serving"]) == ("1", "", "1")
    failed = lines[6]
    assert {k: failed[k] for k in ("model_version", "stage", "reason", "attempts", "serving")} == {
        "model_version": "2", "stage": "fetch", "reason": "gone", "attempts": 2, "serving": "1",
    }  # fmt: skip
    assert (lines[7]["model_version"], lines[7]["reason"]) == ("1", "promoted")


def test_a_traceback_has_places_and_types_but_no_value():
    """Each exception of the chain, with its place and its type; a message may quote a patient's data."""
    text, failed = (run()[line]["exception"] for line in (-3, -2))
    kinds = [line for line in text.splitlines() if not line.startswith((" ", "Traceback"))]
    assert kinds == ["builtins.ZeroDivisionError", "builtins.ValueError", "builtins.ExceptionGroup"]
    assert text.count('File "<string>", line ') == 2
    assert "ValueError" in failed
    assert "SECRET" not in json.dumps(run())


def test_a_level_leaves_out_what_is_below():
    """Also of the standard library's loggers."""
    assert {line["level"] for line in run(LEVEL="warning")} == {"warning", "error"}
    assert "debug" in {line["level"] for line in run(LEVEL="debug")}


def test_a_person_on_a_terminal_reads_lines():
    """Coloured, not JSON."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", EVENTS], stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        text += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"load_failed" in text
    assert b"ZeroDivisionError" in text
    assert b"SECRET" not in text
    assert b"\x1b[" in text
    assert not text.startswith(b"{")
