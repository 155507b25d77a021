"""Triton with ONNX Runtime in its Python backend, and dynamic batching."""

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.environment import folder, packages
from demo.processes import Child

TRITON = "Triton, ONNX Runtime"
_NAME = "triton"
_PACKAGE = "nvidia-pytriton"  # its wheel contains the server; PyTriton itself is not used
_MODEL = "model"
_STUB = "triton_python_backend_stub"


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield the only one; its request body is the predictor's at /v2."""
    check = entry.check(lambda response: response["outputs"][0]["data"])
    path, start = f"/v2/models/{_MODEL}/infer", partial(_start, entry)
    yield Contender(TRITON, start, path, entry.infer.body, check, _NAME, _PACKAGE)


def _start(entry: Entry, port: int) -> Child:
    installed = packages(_NAME)
    server = installed / "pytriton" / "tritonserver"
    work = entry.context.folder / f"triton-{port}"
    backends, repository = work / "backends", work / "models"
    _copy_backend(server, backends / "python")
    _write_model(repository / _MODEL, len(entry.record))
    command = [
        str(server / "bin" / "tritonserver"),
        "--model-repository", str(repository), "--backend-directory", str(backends),
        "--http-address", "127.0.0.1", "--http-port", str(port),
        "--allow-grpc", "false", "--allow-metrics", "false",
        # Auto-completion starts the model twice.
        "--disable-auto-complete-config",
    ]  # fmt: skip
    libraries = (installed / "nvidia_pytriton.libs", Path(sys.base_prefix) / "lib")
    settings = {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "MODEL": str(entry.published.files[0]),
        # The backend's Python does not read PYTHONPATH.
        "PACKAGES": str(installed),
    }
    return entry.spawn(command, port, settings)


def _copy_backend(server: Path, target: Path) -> None:
    """Copy the Python backend, and beside it the stub of this Python version. Raises BenchError."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / python / _STUB
    if not stub.exists():
        raise BenchError(f"{_PACKAGE} has no stub of the Python backend for Python {python}")
    shutil.copytree(server / "backends" / "python", target)
    shutil.copy(stub, target)


def _write_model(target: Path, features: int) -> None:
    """Write a model repository's entry: the configuration, and version 1."""
    (target / "1").mkdir(parents=True)
    shutil.copy(folder(_NAME) / "model.py", target / "1")
    config = (folder(_NAME) / "config.pbtxt").read_text()
    (target / "config.pbtxt").write_text(config.replace("FEATURES", str(features)))
