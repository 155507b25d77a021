"""Deliveries of MLflow's webhooks: which are genuine, new, and about the model that serves here.

The protocol is that of `mlflow/webhooks/delivery.py` (MLflow 3.17), in the manner of
https://www.standardwebhooks.com. MLflow tries again after 429, 500, 502, 503 and 504 and where no
answer came, under the same id; after any other answer it does not.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import msgspec

from predictor.webhooks.delivery_errors import DeliveryMalformed, DeliveryNotSigned
from predictor.webhooks.seen import Seen
from predictor.webhooks.webhook_secrets import WebhookSecrets

HEADERS = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
MOST_BYTES = 65_536
WINDOW_SECONDS = 300  # between MLflow's clock and ours

_VERSION = "v1"
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ENTITIES = {"registered_model", "model_version", "model_version_tag", "model_version_alias"}


class _Subject(msgspec.Struct):
    name: str


class _Notice(msgspec.Struct):
    entity: str
    data: _Subject


@dataclass(frozen=True)
class Delivery:
    """What the header fields say of one. `timestamp` is in seconds since the epoch, in digits."""

    identity: str
    timestamp: str
    signature: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self:
        """From header fields, whose names are looked up in lower case. Raises DeliveryMalformed."""
        identity, timestamp, signature = (headers.get(name.lower(), "") for name in HEADERS)
        if not _ID.fullmatch(identity):
            raise DeliveryMalformed("X-MLflow-Delivery-Id is missing, or is no id")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise DeliveryMalformed("X-MLflow-Timestamp is missing, or is no number of seconds")
        return cls(identity, timestamp, signature)

    def is_signed(self, body: bytes, secrets: tuple[bytes, ...]) -> bool:
        """Whether one of the secrets signed this; a wrong signature takes as long as a right one."""
        content = f"{self.identity}.{self.timestamp}.".encode() + body
        found = False
        for secret in secrets:
            mac = base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
            right = f"{_VERSION},{mac}".encode()
            found |= hmac.compare_digest(right, self.signature.encode(errors="replace"))
        return found


class Deliveries:
    """Takes deliveries for one registered model."""

    def __init__(
        self, secrets: WebhookSecrets, model_name: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._secrets = secrets
        self._model_name = model_name
        self._clock = clock
        self._seen = Seen(WINDOW_SECONDS)

    async def take(self, delivery: Delivery, body: bytes) -> bool:
        """Whether it says that something about our model changed. Each is taken once.

        Raises DeliveryNotSigned, DeliveryStale, DeliveryRepeated or DeliveryMalformed.
        """
        if not delivery.is_signed(body, await self._secrets.latest()):
            raise DeliveryNotSigned
        self._seen.check(delivery.identity, int(delivery.timestamp), self._clock())
        try:
            notice = msgspec.json.decode(body, type=_Notice)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DeliveryMalformed("the body is not that of an MLflow webhook") from None
        return notice.entity in _ENTITIES and notice.data.name == self._model_name
