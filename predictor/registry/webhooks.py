"""Deliveries: check that a webhook of MLflow is signed, new, and about the model of this service."""

import base64
import hashlib
import heapq
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

import msgspec

from predictor.errors import BadRequest, Conflict, Forbidden, RequestError, SettingsError
from predictor.keys import SmallFile, read_small_file
from predictor.log_events import WEBHOOK_SECRET_NOT_READ, WEBHOOK_SECRET_READ

Refusal = Literal["malformed", "bad_signature", "stale", "repeated"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)


class DeliveryRefused(RequestError):
    """A refused delivery. `outcome` is its name in metrics and logs."""

    outcome: ClassVar[Refusal]


class DeliveryMalformed(DeliveryRefused, BadRequest):
    """Not a delivery of MLflow."""

    outcome = "malformed"


class DeliveryNotSigned(DeliveryRefused, Forbidden):
    """Not signed with one of our secrets."""

    outcome = "bad_signature"

    def __init__(self) -> None:
        super().__init__(
            "X-MLflow-Signature does not match this delivery; check that the webhook has the secret in "
            "the file of PREDICTOR_WEBHOOK_SECRET_FILE"
        )


class DeliveryStale(DeliveryRefused, Forbidden):
    """Signed `age` seconds ago by MLflow's clock; less than 0 for a time in the future."""

    outcome = "stale"

    def __init__(self, age: float, limit: float) -> None:
        super().__init__(
            f"signed {age:.0f} s ago by its timestamp, but at most {limit:.0f} s are allowed; check that "
            "the clocks of MLflow's server and of this one agree"
        )


class DeliveryRepeated(DeliveryRefused, Conflict):
    """A delivery with the same id was accepted before."""

    outcome = "repeated"

    def __init__(self) -> None:
        super().__init__(
            "a delivery with this id was accepted before; there is no need to send it again"
        )


class RecentDeliveries:
    """The ids of recent deliveries with their timestamps, in seconds since the epoch.

    Beyond `max_ids`, the oldest id is removed. From then on, every delivery that is not newer is refused,
    so a removed delivery cannot be repeated.
    """

    def __init__(self, window_seconds: int, max_ids: int = 10_000) -> None:
        self._window = window_seconds
        self._max_ids = max_ids
        self._oldest_first: list[tuple[int, str]] = []
        self._ids: set[str] = set()
        self._removed_up_to = 0

    def check(self, identity: str, timestamp: int, now: float) -> None:
        """Add an id that arrived at `now`. Raises DeliveryStale or DeliveryRepeated."""
        if abs(now - timestamp) > self._window:
            raise DeliveryStale(now - timestamp, self._window)
        while self._oldest_first and self._oldest_first[0][0] < now - self._window:
            self._removed_up_to = max(self._removed_up_to, self._remove_oldest())
        if identity in self._ids:
            raise DeliveryRepeated
        if len(self._ids) >= self._max_ids:
            self._removed_up_to = max(self._removed_up_to, self._remove_oldest())
        if timestamp <= self._removed_up_to:
            raise DeliveryStale(now - timestamp, now - self._removed_up_to)
        self._ids.add(identity)
        heapq.heappush(self._oldest_first, (timestamp, identity))

    def _remove_oldest(self) -> int:
        timestamp, identity = heapq.heappop(self._oldest_first)
        self._ids.remove(identity)
        return timestamp


_VARIABLE = "PREDICTOR_WEBHOOK_SECRET_FILE"
_REREAD_SECONDS = 1.0  # between two reads of the file
_MAX_FILE_BYTES = 65_536


class WebhookSecrets:
    """The secrets of a file, one a line: the old and the new one during a rotation."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a file that cannot be read or has no secret."""
        self._file = SmallFile(path, _MAX_FILE_BYTES)
        self._fault: str | None = None
        self._reread_after = 0.0
        self._secrets = _read_secrets(path)

    async def latest(self) -> tuple[bytes, ...]:
        """The secrets in the file now, at least one; the previous ones if it cannot be read."""
        if time.monotonic() >= self._reread_after:
            self._reread_after = time.monotonic() + _REREAD_SECONDS
            try:
                found = _secrets(self._file.path, await self._file.latest())
            except SettingsError as error:
                self._broken(str(error))
            except OSError as error:
                self._broken(str(_fault(self._file.path, str(error.strerror))))
            else:
                if found != self._secrets:
                    WEBHOOK_SECRET_READ.log(secrets=len(found))
                self._secrets, self._fault = found, None
        return self._secrets

    def _broken(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            WEBHOOK_SECRET_NOT_READ.log(reason=fault, next="the previous secrets stay valid")


def check_webhook_secret(path: Path | None) -> None:
    """Raise SettingsError for a file of secrets that cannot be used."""
    if path is not None:
        _read_secrets(path)


def _read_secrets(path: Path) -> tuple[bytes, ...]:
    try:
        return _secrets(path, read_small_file(path, _MAX_FILE_BYTES))
    except OSError as error:
        raise _fault(path, str(error.strerror)) from None


def _secrets(path: Path, content: bytes) -> tuple[bytes, ...]:
    secrets = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not secrets:
        raise _fault(path, "holds no secret; write one on a line of its own")
    if any(secret.startswith(b"#") for secret in secrets):
        # A comment would be used as a secret, and be easy to guess.
        raise _fault(
            path, "a line begins with #, but comments are not supported: each line is a secret"
        )
    return secrets


def _fault(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"{_VARIABLE}: {path}: {reason}")


HEADERS = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
MAX_BODY_BYTES = 65_536
WINDOW_SECONDS = 300  # between MLflow's clock and ours

_VERSION = "v1"
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ENTITIES = {"registered_model", "model_version", "model_version_tag", "model_version_alias"}


class ChangedModel(msgspec.Struct):
    """The registered model that changed."""

    name: str


class WebhookBody(msgspec.Struct):
    """The members of a delivery's body that the service reads."""

    entity: str
    data: ChangedModel


@dataclass(frozen=True)
class Delivery:
    """The header fields of a delivery. `timestamp` is in seconds since the epoch, in digits."""

    identity: str
    timestamp: str
    signature: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self:
        """Read the header fields, which have names in lower case. Raises DeliveryMalformed."""
        identity, timestamp, signature = (headers.get(name.lower(), "") for name in HEADERS)
        if not _ID.fullmatch(identity):
            raise DeliveryMalformed("X-MLflow-Delivery-Id is missing, or is not an id")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise DeliveryMalformed("X-MLflow-Timestamp is missing or not a number of seconds")
        return cls(identity, timestamp, signature)

    def is_signed(self, body: bytes, secrets: tuple[bytes, ...]) -> bool:
        """Whether one of the secrets signed this, in constant time."""
        content = f"{self.identity}.{self.timestamp}.".encode() + body
        found = False
        for secret in secrets:
            mac = base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
            expected = f"{_VERSION},{mac}".encode()
            found |= hmac.compare_digest(expected, self.signature.encode(errors="replace"))
        return found


class Deliveries:
    """Checks deliveries for one registered model."""

    def __init__(
        self, secrets: WebhookSecrets, model_name: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._secrets = secrets
        self._model_name = model_name
        self._clock = clock
        self._recent = RecentDeliveries(WINDOW_SECONDS)

    async def take(self, delivery: Delivery, body: bytes) -> bool:
        """Whether a delivery is about our model. Each delivery is accepted once.

        Raises DeliveryNotSigned, DeliveryStale, DeliveryRepeated or DeliveryMalformed.
        """
        if not delivery.is_signed(body, await self._secrets.latest()):
            raise DeliveryNotSigned
        self._recent.check(delivery.identity, int(delivery.timestamp), self._clock())
        try:
            parsed = msgspec.json.decode(body, type=WebhookBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DeliveryMalformed("the body is not a webhook of MLflow") from None
        return parsed.entity in _ENTITIES and parsed.data.name == self._model_name
