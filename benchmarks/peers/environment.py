"""A peer's virtual environment, with the versions that its requirements file pins."""

import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchError
from demo.processes import ROOT

_ENVIRONMENTS = ROOT / ".bench" / "peers"


def folder(peer: str) -> Path:
    """The folder of the peer's requirements and code."""
    return Path(__file__).parent / peer


def program(peer: str, name: str) -> str:
    """The path of a program in the peer's environment."""
    return str(_ENVIRONMENTS / peer / "bin" / name)


def packages(peer: str) -> Path:
    """The site-packages folder of the peer's environment."""
    major, minor = sys.version_info[:2]
    return _ENVIRONMENTS / peer / "lib" / f"python{major}.{minor}" / "site-packages"


def build(peer: str) -> None:
    """Build the environment unless it already has the pinned versions. Raises BenchError."""
    requirements = folder(peer) / "requirements.txt"
    built = _ENVIRONMENTS / peer / "installed.txt"
    if built.exists() and built.read_bytes() == requirements.read_bytes():
        return
    uv = Path(sys.executable).with_name("uv")
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, _ENVIRONMENTS / peer)
    _run(
        uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes",
        "--python", program(peer, "python"), requirements,
    )  # fmt: skip
    built.write_bytes(requirements.read_bytes())


def version(peer: str, package: str) -> str:
    """The installed version of a package in the peer's environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [program(peer, "python"), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"installation failed: {' '.join(done.stderr.split())[-300:]}")
