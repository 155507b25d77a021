"""WebhookSecrets: what MLflow signs its webhooks with, as a file says, also while it is changed."""

import asyncio
import time
from pathlib import Path

import structlog

from predictor.errors import SettingsError

_VARIABLE = "PREDICTOR_WEBHOOK_SECRET_FILE"
_LOOK_SECONDS = 1.0  # between two looks at the file
_MOST_BYTES = 65_536

log = structlog.get_logger()


class WebhookSecrets:
    """The lines of a file, each a secret of its own: an old and a new one while they are exchanged."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a file that cannot be read, or that holds no secret."""
        self._path = path
        self._fault: str | None = None
        self._look_after = 0.0
        self._secrets = _read(path)

    async def latest(self) -> tuple[bytes, ...]:
        """The secrets that the file holds now, at least one; those of before where it is broken.

        A thread reads it, because a folder on the network may hang.
        """
        if time.monotonic() >= self._look_after:
            self._look_after = time.monotonic() + _LOOK_SECONDS
            try:
                found = await asyncio.to_thread(_read, self._path)
            except SettingsError as error:
                self._broken(str(error))
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
        _read(path)


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{_VARIABLE}: {path}: {error.strerror}") from None
    secrets = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not secrets:
        raise SettingsError(f"{_VARIABLE}: {path}: holds no secret; write one on a line of its own")
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"{_VARIABLE}: {path}: larger than {_MOST_BYTES} bytes")
    return secrets
