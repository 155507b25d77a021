"""The provenance of a run: code, libraries and user."""

import getpass
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from mlflow.utils import mlflow_tags

# What decides the numbers of a run; the rest of the environment is in the locked requirements.
LIBRARIES = (
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
)


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that affect a run's result."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def tags(command: str = "train") -> dict[str, str]:
    """Tags for a run of a command: user, git commit, whether files were changed, and library versions."""
    return {
        mlflow_tags.MLFLOW_USER: getpass.getuser(),
        mlflow_tags.MLFLOW_SOURCE_NAME: f"python -m trainer {command}",
        mlflow_tags.MLFLOW_SOURCE_TYPE: "LOCAL",
        **_git(),
        **{f"library.{name}": number for name, number in library_versions().items()},
    }


def _git() -> dict[str, str]:
    commit = _ask_git("rev-parse", "HEAD")
    if not commit:
        return {mlflow_tags.MLFLOW_GIT_COMMIT: "unknown"}
    changed = bool(_ask_git("status", "--porcelain", "--untracked-files=no"))
    return {mlflow_tags.MLFLOW_GIT_COMMIT: commit, "git.uncommitted_changes": str(changed).lower()}


def _ask_git(*arguments: str) -> str:
    """Git's output in this folder; empty without git or outside a clone."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
