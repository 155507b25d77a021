"""MLflow servers that all workers of a run share: the first that needs one starts it."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.processes import Child, start_mlflow


@dataclass(frozen=True)
class Server:
    """A server that runs until the whole run ends: its address, and its process group."""

    url: str
    group: int


@dataclass(frozen=True)
class Shared:
    """The folder of one run of pytest, in which its workers find each other's servers."""

    folder: Path

    def server(self, name: str, prepare: Callable[[Child], None] = lambda _: None) -> Server:
        """The server of this name. `prepare` uses it first, alone."""
        found = self.folder / f"{name}.json"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.exists():
                child = start_mlflow(self.folder / f"{name}-server")
                try:
                    child.wait_until_answers("/health")
                    prepare(child)
                except BaseException:
                    child.stop()
                    raise
                found.write_text(json.dumps(asdict(Server(child.url, child.process.pid))))
        return Server(**json.loads(found.read_text()))

    def stop(self) -> None:
        """Stop all servers of the run."""
        for found in self.folder.glob("*.json"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(json.loads(found.read_text())["group"], signal.SIGKILL)
