"""An image as the tests see it: built from the Dockerfile, with its settings and its file system."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.processes import ROOT, Child, spawn
from tests.required import program

# What a container engine gives a container, from what Linux itself has: a mount namespace in which
# the root is read-only, a process namespace in which the command is the first process, the image's
# user and none of root's capabilities. $1 root, $2 user:group, $3 working directory, $4 the folder
# that is a volume, and the command.
_CONTAINER = """
root=$1 user=$2 folder=$3 volume=$4; shift 4
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o "uid=${user%:*}" tmpfs "$root$volume"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \\
  chroot --userspec="$user" --groups= "$root" env --chdir="$folder" "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image, a working container of buildah's, and where its file system is mounted."""

    id: str
    container: str
    root: Path
    config: Mapping[str, Any]

    @property
    def entry(self) -> list[str]:
        return [*self.config["Entrypoint"], *(self.config.get("Cmd") or [])]

    @property
    def health_check(self) -> list[str]:
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", "not through a shell"
        return list(command)

    def command(self, command: Sequence[str], settings: Mapping[str, str]) -> list[str]:
        """How to run a command in it with `buildah run`, which gives it the image's user and settings."""
        given = [f"--env={name}={value}" for name, value in settings.items()]
        return ["buildah", "run", "--isolation", "chroot", *given, self.container, "--", *command]

    def run(
        self, *command: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        return subprocess.run(
            self.command(command, settings or {}),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, url: str, log: Path, settings: Mapping[str, str]) -> Child:
        """Start what it starts by itself, with `buildah run`."""
        return spawn(self.command(self.entry, settings), url, log, {})

    def contain(
        self, command: Sequence[str], url: str, log: Path, settings: Mapping[str, str]
    ) -> Child:
        """Start a command as the first process of a read-only container without capabilities."""
        values = [*self.config["Env"], *(f"{name}={value}" for name, value in settings.items())]
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
        return spawn(
            [
                "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *isolated,
                "sh", "-euc", _CONTAINER, "container", str(self.root), self.config["User"],
                self.config["WorkingDir"], "/var/cache/mlflow-hotswap", *values, *command,
            ],
            url, log, {},
        )  # fmt: skip


@contextmanager
def built(target: str, **arguments: str) -> Iterator[Image]:
    """Build a target of the Dockerfile, or find it built; skip where that cannot be done.

    `arguments` are build arguments; the image has another tag with them.
    """
    program("buildah"), program("debootstrap")
    if os.geteuid() != 0:
        pytest.skip("only root can build an image without an engine")
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    tag = f"localhost/mlflow-hotswap-{target}{'-test' if arguments else ''}"
    script = ["env", f"TAG={tag}", str(ROOT / "deploy/image.sh"), target]
    image = _output(*script, *options).splitlines()[-1]
    container = _output("buildah", "from", image)
    try:
        root = Path(_output("buildah", "mount", container))
        config = json.loads(_output("buildah", "inspect", "--type", "image", image))["Docker"]
        yield Image(image, container, root, config["config"])
    finally:
        _output("buildah", "rm", container)


def _output(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr[-3000:]}"
    return result.stdout.strip()
