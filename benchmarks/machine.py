"""What the figures were measured on, and with."""

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo.processes import ROOT, predictor_python

# Of the predictor's environment, which the references run in too.
_PACKAGES = (
    "uvicorn", "uvloop", "httptools", "onnxruntime", "numpy", "msgspec", "fastapi", "pydantic",
)  # fmt: skip
_ASK = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"Python": platform.python_version(), **{n: version(n) for n in sys.argv[1:]}}))
"""


@dataclass(frozen=True)
class Machine:
    """The machine and the software; `load` is its load average of a minute when the run began."""

    processor: str
    cores: int
    kernel: str
    load: float
    versions: dict[str, str]
    commit: str

    @classmethod
    def here(cls) -> "Machine":
        """This one, now."""
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
    told: dict[str, str] = json.loads(_output(predictor_python(), "-c", _ASK, *_PACKAGES))
    wrk = re.search(r"wrk \S*?(\d[\w.]*)", _output("wrk", "-v") if shutil.which("wrk") else "")
    return {**told, "wrk": wrk[1] if wrk else "unknown"}


def _commit() -> str:
    """The commit that was measured, with a plus where files that it has were changed since."""
    commit = _output("git", "rev-parse", "--short", "HEAD").strip()
    changed = _output(
        "git", "status", "--porcelain", "--", "predictor", "benchmarks", "requirements"
    )
    return commit + ("+" if changed.strip() else "")


def _output(*command: str) -> str:
    """What a command prints; wrk and, outside a clone, git end with an error."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
