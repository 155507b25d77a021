"""The stack of deploy/compose.yaml as plain processes of this machine: each service's own command.

What containers have and processes have not is put in its place: a service's name becomes this
machine's address, its port one that is free, a volume a folder, and the image's own entry, from the
Dockerfile, comes before the command. Nothing else is changed.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from demo.processes import ROOT, Child, free_port, predictor_python, spawn
from scale.gateway import render
from tests.required import program

FILE = ROOT / "deploy/compose.yaml"
PORTS = {
    "postgres": 5432, "mlflow": 5000, "predictor": 8000, "prometheus": 9090, "gateway": 8080,
    "webhooks": 8081, "nats": 4222, "nats-health": 8222,
}  # fmt: skip
# The images that are not ours begin with these.
FOREIGN = {"postgres": [], "prometheus": ["prometheus"], "gateway": [], "nats": []}


@functools.cache
def compose() -> dict[str, Any]:
    """The compose file, its variables at their defaults and `$$` as the `$` that it stands for."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text())
    return dict(yaml.safe_load(text.replace("$$", "$")))


@functools.cache
def target(name: str) -> dict[str, Any]:
    """What the Dockerfile says of a target: its entry, its health check, its settings."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    stage = re.split(r"^FROM .* AS ", text, flags=re.MULTILINE)[-2:]
    (said,) = [each for each in stage if each.startswith(f"{name}\n")]
    check = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", said, re.MULTILINE)
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", said, re.MULTILINE)
    settings = re.search(r"^ENV (.*)$", said, re.MULTILINE)
    return {
        "entry": json.loads(entry[1]) if entry else [],
        "check": json.loads(check[1]) if check else [],
        "settings": dict(each.split("=", 1) for each in settings[1].split()) if settings else {},
    }


@dataclass
class Stack:
    """The services, each to be started by itself. `folder` takes what they write."""

    folder: Path
    changed: Mapping[str, str] = field(default_factory=dict)
    ports: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ports = {port: free_port() for port in PORTS.values()}

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def key(self, name: str) -> dict[str, str]:
        """The header that a client shows a key in."""
        return {"Authorization": f"Bearer {(self.secrets / name).read_text()}"}

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[PORTS[service]]}"

    def here(self, service: str, text: str) -> str:
        """What a command, a setting or a file of the service says, as it is on this machine."""
        if text.startswith("--allowed-hosts="):
            return text  # names of the containers' network, to be asked for by name
        places = self._places(service)
        pattern = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
        text = re.sub(rf"(?<![\w./])({pattern})\b", lambda found: str(places[found[1]]), text)
        for name, port in PORTS.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[port]}")
            text = re.sub(rf"(?<=[=:]){port}\b|^{port}$", str(self.ports[port]), text)
        return text

    def start(self, service: str) -> Child:
        """Start a service's command."""
        log = self.folder / f"{service}.log"
        settings = self.settings(service)
        if service == "gateway":  # the image's entrypoint
            Path(settings["GATEWAY_FOLDER"]).mkdir(parents=True)
            render(settings, "nginx.conf", "webhooks.conf")
        return spawn(self.command(service), self.url(service), log, settings)

    def run(self, service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a service to its end, with other arguments where some are given, as `docker compose run`."""
        return self._ended(self.command(service, arguments), service, 300)

    def check(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check once."""
        said = compose()["services"][service].get("healthcheck", {}).get("test")
        kind, *command = said or ["CMD", *target(service)["check"]]
        assert kind == "CMD"
        return self._ended([self.here(service, each) for each in command], service, 30)

    def until_healthy(self, service: str, child: Child, seconds: float = 90) -> None:
        """Return once the health check passes; its service must not end before."""
        deadline = time.monotonic() + seconds
        while (said := self.check(service)).returncode != 0:
            assert child.process.poll() is None, child.log.read_text()[-3000:]
            assert time.monotonic() < deadline, said.stderr + child.log.read_text()[-3000:]
            time.sleep(0.5)

    def command(self, service: str, arguments: Sequence[str] = ()) -> list[str]:
        said = compose()["services"][service]
        built = said.get("build", {}).get("target")
        entry = said.get("entrypoint") or (target(built)["entry"] if built else FOREIGN[service])
        command = [*entry, *(arguments or said.get("command", ()))]
        return [self.here(service, each) for each in command]

    def settings(self, service: str) -> dict[str, str]:
        """A service's environment: its image's, then its own, then what the test changes."""
        said = compose()["services"][service]
        built = said.get("build", {}).get("target")
        image = target(built)["settings"] if built else {}
        own = {**image, **said.get("environment", {}), **self.changed}
        python = predictor_python() if built == "predictor" else sys.executable
        path = f"{Path(python).parent}:{os.environ['PATH']}"
        return {"PATH": path, **{name: self.here(service, text) for name, text in own.items()}}

    def copied(self, source: str, service: str, *files: str) -> Path:
        """Copy a folder that is mounted into a service, and say in these files what is so here."""
        copy = Path(shutil.copytree(FILE.parent / source, self._source(source)))
        for name in files:
            lines = (copy / name).read_text().split("\n")
            (copy / name).write_text("\n".join(self.here(service, line) for line in lines))
        return copy

    def _places(self, service: str) -> dict[str, Path]:
        """Where the service has its secrets and volumes, and which folders of this machine these are."""
        mounts = [each.split(":") for each in compose()["services"][service].get("volumes", ())]
        places = {place: self._source(source) for source, place, *_ in mounts}
        for place in compose()["services"][service].get("tmpfs", ()):
            if place != "/tmp":
                name = place.partition(":")[0]
                places[name] = self.folder / "tmpfs" / Path(name).name
        return {"/run/secrets": self.secrets, **places}

    def _source(self, source: str) -> Path:
        """A folder of the repository, which starts with a dot, or a named volume."""
        kind = "mounts" if source.startswith(".") else "volumes"
        folder = self.folder / kind / Path(source).name
        folder.parent.mkdir(exist_ok=True)
        return folder

    def _ended(
        self, command: list[str], service: str, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.settings(service)},
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip


class Database:
    """PostgreSQL as its image starts it: a cluster of the settings' user and database, then the command."""

    def __init__(self, stack: Stack) -> None:
        program("psql")
        self._stack = stack
        self._settings = stack.settings("postgres")
        self._data = stack.folder / "postgres"
        # PostgreSQL runs as anybody but root.
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        installed = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parts[-2]
        )
        self._programs = installed[-1]

    def make(self) -> None:
        """What the image's entrypoint does with an empty volume."""
        self._data.mkdir(exist_ok=True)
        # The secrets' folder is root's alone; a container sees the one file.
        password = Path(shutil.copy(self._settings["POSTGRES_PASSWORD_FILE"], self._stack.folder))
        if self._user:
            shutil.chown(self._data, "postgres")
        arguments = self._settings["POSTGRES_INITDB_ARGS"].split()
        user = self._settings["POSTGRES_USER"]
        subprocess.run(
            [*self._user, str(self._programs / "initdb"), "-D", str(self._data), "-U", user,
             f"--pwfile={password}", "--no-sync", *arguments],
            cwd="/", capture_output=True, text=True, check=True,
        )  # fmt: skip

    def start(self) -> Child:
        name, *arguments = self._stack.command("postgres")
        port = self._stack.ports[PORTS["postgres"]]
        place = ["-D", str(self._data), "-p", str(port), "-k", str(self._data)]
        command = [*self._user, str(self._programs / name), *place, *arguments]
        log = self._stack.folder / "postgres.log"
        return spawn(command, self._stack.url("postgres"), log, {})

    def ask(self, query: str, database: str | None = None) -> str:
        """What psql says to a query, asked over the network and with the password."""
        password = Path(self._settings["POSTGRES_PASSWORD_FILE"]).read_text()
        port = self._stack.ports[PORTS["postgres"]]
        user = self._settings["POSTGRES_USER"]
        return subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-tA", "-c", query,
             database or self._settings["POSTGRES_DB"]],
            env={**os.environ, "PGPASSWORD": password},
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
