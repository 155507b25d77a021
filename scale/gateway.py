"""Start the registry gateway of deploy/gateway as a process: this machine's nginx, the same configuration."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo.processes import ROOT, Child, free_port, spawn

TEMPLATES = ROOT / "deploy/gateway/templates"


class NoNginxError(RuntimeError):
    """nginx is not installed."""

    def __init__(self) -> None:
        super().__init__("nginx is not installed; on Debian: apt-get install nginx-light")


def render(variables: Mapping[str, str], *names: str) -> None:
    """Write templates to the gateway's folder with their variables replaced, as the nginx image's entrypoint does."""
    for name in names:
        text = (TEMPLATES / f"{name}.template").read_text()
        text = re.sub(
            r"\$\{(\w+)\}", lambda found: variables.get(found[1], f"${{{found[1]}}}"), text
        )
        (Path(variables["GATEWAY_FOLDER"]) / name).write_text(text)


def start_gateway(
    folder: Path,
    mlflow: str,
    port: int | None = None,
    *,
    changes: Mapping[str, str] | None = None,
    prefix_command: Sequence[str] = (),
) -> Child:
    """Start nginx between replicas and an MLflow server; it writes to `folder` only.

    Args:
        folder: gets the configuration, the caches and the log.
        mlflow: the server's address, such as http://127.0.0.1:5000/prefix.
        port: where it listens; a free one by default.
        changes: other values of the template's variables.
        prefix_command: a command that starts nginx, such as one that changes the user.
    """
    nginx = shutil.which("nginx")
    if nginx is None:
        raise NoNginxError
    port = port or free_port()
    scheme, _, rest = mlflow.partition("://")
    address, slash, prefix = rest.partition("/")
    folder.mkdir(parents=True, exist_ok=True)
    variables = {
        "MLFLOW_SCHEME": scheme,
        "MLFLOW_ADDRESS": address,
        "MLFLOW_PREFIX": f"{slash}{prefix}".rstrip("/"),
        "MLFLOW_CA": "/etc/ssl/certs/ca-certificates.crt",
        "GATEWAY_PORT": f"127.0.0.1:{port}",
        "GATEWAY_POLLS": f"127.0.0.1:{free_port()}",
        "GATEWAY_FOLDER": str(folder),
        "GATEWAY_ARTIFACTS": "256m",
        "GATEWAY_CREDENTIALS": f"{folder}/credentials*",
    }
    render({**variables, **(changes or {})}, "nginx.conf")
    # As root, nginx would become a user who cannot read the folder.
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 and not prefix_command else "")
    command = [*prefix_command, nginx, "-c", str(folder / "nginx.conf"), "-g", options]
    return spawn(command, f"http://127.0.0.1:{port}", folder / "nginx.log", {})
