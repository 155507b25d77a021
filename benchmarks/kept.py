"""Results in files."""

from pathlib import Path
from typing import TypeVar

import msgspec

Kept = TypeVar("Kept")


def write(results: object, file: Path) -> None:
    """Keep what a run found."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path, kind: type[Kept]) -> Kept:
    """What was kept. Raises OSError, or msgspec's error where it is something else."""
    return msgspec.json.decode(file.read_bytes(), type=kind)
