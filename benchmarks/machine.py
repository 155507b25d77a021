"""The machine and software versions of a measurement."""

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo.processes import ROOT, predictor_python

# Installed in the predictor's environment, which also runs the references.
_PACKAGES = (
    "uvicorn", "uvloop", "httptools", "onnxruntime", "numpy", "msgspec", "fastapi", "pydantic",
)  # fmt: skip
_PRINT_VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"Python": platform.python_version(), **{n: version(n) for n in sys.argv[1:]}}))
"""


@dataclass(frozen=True)
class Machine:
    """The machine and its software; `load` is the one-minute load average at the start of the run."""

    processor: str
    cores: int
    kernel: str
    load: float
    versions: dict[str, str]
    commit: str

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine now."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 0,
            kernel=f"{platform.system()} {platform.release()}",
            load=round(os.getloadavg()[0], 2),
            versions=_versions(),
            commit=_commit(),
        )


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _versions() -> dict[str, str]:
    versions: dict[str, str] = json.loads(
        _output(predictor_python(), "-c", _PRINT_VERSIONS, *_PACKAGES)
    )
    wrk = re.search(r"wrk \S*?(\d[\w.]*)", _output("wrk", "-v") if shutil.which("wrk") else "")
    return {**versions, "wrk": wrk[1] if wrk else "unknown"}


def _commit() -> str:
    """The measured commit; "+" marks uncommitted changes."""
    commit = _output("git", "rev-parse", "--short", "HEAD").strip()
    changed = _output(
        "git", "status", "--porcelain", "--", "predictor", "benchmarks", "requirements"
    )
    return commit + ("+" if changed.strip() else "")


def _output(*command: str) -> str:
    """A command's output. Exit codes are ignored: `wrk -v`, and git outside a clone, fail."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
