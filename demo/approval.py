"""`make demo APPROVAL=1`: two people must approve a version before the service loads it."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from demo.processes import StartError

PEOPLE = ("alice", "bob")
_SECONDS = 60


def prepare(folder: Path) -> None:
    """Make two key pairs and a file of approvers, and set the environment of all commands.

    Real people make their keys on their own machines, and type their passphrases.
    """
    os.environ["TRAINER_KEYS_FOLDER"] = str(folder / "keys")
    os.environ["PREDICTOR_APPROVERS_FILE"] = str(folder / "approvers.toml")
    os.environ["SERVICE_PYTHON"] = sys.executable  # the predictor's own has no cryptography
    if (folder / "approvers.toml").exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    from trainer.keys_command import new

    lines = StringIO()
    for name in PEOPLE:
        passphrase = folder / f"{name}.passphrase"
        passphrase.touch(0o600)
        passphrase.write_text(secrets.token_hex(16))
        with redirect_stdout(lines):
            new(name, folder=folder / "keys", passphrase_file=passphrase)
    rule = f"required = {len(PEOPLE)}\n\n[approvers]\n{lines.getvalue()}"
    (folder / "approvers.toml").write_text(rule)


def approve_commands(folder: Path, version: str) -> list[list[str]]:
    """The trainer's commands by which each person approves a version."""
    return [
        [
            "approve", version, "--reason", f"{name} has seen the metrics", "--expires", "90d",
            "--key", name, "--passphrase-file", str(folder / f"{name}.passphrase"), "--yes",
        ]
        for name in PEOPLE
    ]  # fmt: skip


def refused(url: str) -> str | None:
    """Wait until the service serves, or has refused a version: return why, or None if it serves."""
    found: dict[str, Any] = {}

    def decided() -> bool:
        with urlopen(f"{url}/model") as response:
            found.update(json.load(response))
        return bool(found["serving"] or found["last_failure"])

    _wait(decided, "neither serves nor refuses")
    return None if found["serving"] else str(found["last_failure"]["reason"])


def wait_until_serving(url: str) -> None:
    """Return once the service serves a version."""
    _wait(lambda: refused(url) is None, "does not serve")


def _wait(true: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise StartError(f"after {_SECONDS} s the predictor still {problem}; see its log")
        time.sleep(0.2)
