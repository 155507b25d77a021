"""WebhookSecrets: what MLflow signs its webhooks with, as a file says, also while it is changed."""

import time
from pathlib import Path

import structlog

from predictor.errors import SettingsError
from predictor.small_file import SmallFile

_VARIABLE = "PREDICTOR_WEBHOOK_SECRET_FILE"
_LOOK_SECONDS = 1.0  # between two looks at the file
_MOST_BYTES = 65_536

log = structlog.get_logger()


class WebhookSecrets:
    """The lines of a file, each a secret of its own: an old and a new one while they are exchanged."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a file that cannot be read, or that holds no secret."""
        self._file = SmallFile(path, _MOST_BYTES)
        self._fault: str | None = None
        self._look_after = 0.0
        self._secrets = _first(self._file)

    async def latest(self) -> tuple[bytes, ...]:
        """The secrets that the file holds now, at least one; those of before where it is broken."""
        if time.monotonic() >= self._look_after:
            self._look_after = time.monotonic() + _LOOK_SECONDS
            try:
                found = _secrets(self._file.path, await self._file.latest())
            except SettingsError as error:
                self._broken(str(error))
            except OSError as error:
                self._broken(str(_fault(self._file.path, str(error.strerror))))
            else:
                if found != self._secrets:
                    log.info("webhook_secret_read", secrets=len(found))
                self._secrets, self._fault = found, None
        return self._secrets

    def _broken(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            log.error("webhook_secret_not_read", reason=fault, next="the secrets of before count")


def check_webhook_secret(path: Path | None) -> None:
    """Raise SettingsError where there is a file of secrets that cannot be used."""
    if path is not None:
        _first(SmallFile(path, _MOST_BYTES))


def _first(file: SmallFile) -> tuple[bytes, ...]:
    try:
        return _secrets(file.path, file.read())
    except OSError as error:
        raise _fault(file.path, str(error.strerror)) from None


def _secrets(path: Path, content: bytes) -> tuple[bytes, ...]:
    secrets = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not secrets:
        raise _fault(path, "holds no secret; write one on a line of its own")
    if any(secret.startswith(b"#") for secret in secrets):
        # Taken for a secret, a comment would be one that anybody can guess.
        raise _fault(path, "a line begins with #; here are no comments, every line is a secret")
    return secrets


def _fault(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"{_VARIABLE}: {path}: {reason}")
