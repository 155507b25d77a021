"""Makes the secrets of deploy/compose.yaml, once: `python3 deploy/stack_secrets.py`.

It only needs Python. Existing files are not changed; to change a secret, delete its file (and the file that is
derived from it: of a key's hash, or nats_config) and run this again. Only the owner can open the folder. The files in it are readable by
all users, because each is mounted into a container whose user has another number.
"""

import argparse
import base64
import hashlib
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
_BYTES = 32
_CREDENTIALS = """\
# MLflow of this stack asks for no credentials. For one that does, for example:
# proxy_set_header Authorization "Bearer TOKEN";
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make missing secrets and print their names; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder: Path = parser.parse_args(arguments).folder
    made = make(folder)
    sys.stdout.write(f"{folder}: made {', '.join(made) or 'nothing, all secrets are there'}\n")
    return 0


def make(folder: Path) -> list[str]:
    """Make every secret that is missing from `folder`; return their names."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    contents: dict[str, Callable[[], str]] = {
        "postgres_password": _token,
        "grafana_password": _token,
        "webhook_secret": _token,
        "mlflow_encryption_key": _fernet_key,
        "api_key": _token,
        "operations_key": _token,
        "gateway_credentials": lambda: _CREDENTIALS,
        "nats_credentials": lambda: f"hotswap:{_token()}",
        # After what they are derived from.
        "nats_config": lambda: _nats_config(folder / "nats_credentials"),
        "api_keys": lambda: _line("stack", folder / "api_key"),
        "operations_keys": lambda: _line("prometheus", folder / "operations_key"),
    }
    return [name for name, content in contents.items() if _write(folder / name, content)]


def _token() -> str:
    return secrets.token_urlsafe(_BYTES)


def _fernet_key() -> str:
    """A Fernet key, with which MLflow encrypts webhook secrets (https://github.com/fernet/spec)."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()


def _line(name: str, key_file: Path) -> str:
    """A line of a key file: the key's name and its SHA-256. More lines can be appended."""
    return f"{name}:{hashlib.sha256(key_file.read_bytes()).hexdigest()}\n"


def _nats_config(credentials: Path) -> str:
    """The configuration of a nats-server that admits this user."""
    user, _, password = credentials.read_text().partition(":")
    return f'authorization {{ user: "{user}", password: "{password}" }}\n'


def _write(file: Path, content: Callable[[], str]) -> bool:
    """Write a file unless it exists. A secret has no line break at the end, which would be part of it."""
    if file.exists():
        return False
    text = content()
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.chmod(0o644)
    part.rename(file)
    return True


if __name__ == "__main__":
    sys.exit(main())
