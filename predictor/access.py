"""Access: which kind of API key each route needs, and the check of a request's key."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from predictor.errors import KeysError, SettingsError, Unauthorized
from predictor.events import KeysNotRead, KeysRead, Observe
from predictor.keys import KeyFile
from predictor.log_events import KEY_REFUSED
from predictor.logs import LogThrottle
from predictor.settings import Settings, variable

Kind = Literal["api_keys_file", "operations_keys_file"]
Headers = Sequence[tuple[bytes, bytes]]

KINDS: tuple[Kind, ...] = ("api_keys_file", "operations_keys_file")
_OPEN = {
    "/",
    "/web/{name}",
    "/docs",
    "/web/docs/{name}",
    "/ops",
    "/web/ops/{name}",
    "/openapi.json",
    "/health",
    "/ready",
}
_OPEN |= {"/ping", "/version"}
_OPEN |= {f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ServerReady")}
_OPEN |= {"/v2/health/live", "/v2/health/ready"}
_SIGNED = {"/webhooks/mlflow"}  # each request is signed
_OPERATIONS = {"/metrics", "/model", "/events", "/ops/overview"}
NO_ROUTE = ""
"""The route of an unknown path. If any keys exist, no key opens it."""

_RELOAD_SECONDS = (
    1.0  # between two reads of the files: a removed key stays valid for up to this time
)
_QUIET_SECONDS = 10.0  # between two log lines about requests without a valid key


def needs(route: str) -> Kind | None:
    """The kind of keys that open a route, by its path; None for an open route. An unknown route is not open."""
    if route in _OPEN or route in _SIGNED:
        return None
    return "operations_keys_file" if route in _OPERATIONS else "api_keys_file"


class Access:
    """Checks the API keys of requests. Routes whose kind of keys has no file are open."""

    def __init__(self, files: Mapping[Kind, KeyFile], observe: Observe) -> None:
        self._files = dict(files)
        self._observe = observe
        self._faults: dict[Kind, str] = {}
        self._refusals = LogThrottle(_QUIET_SECONDS)

    @classmethod
    def of(cls, settings: Settings, observe: Observe) -> "Access":
        """Read the files that the settings name. Raises SettingsError for a file that cannot be used."""
        files: dict[Kind, KeyFile] = {}
        paths = (settings.api_keys_file, settings.operations_keys_file)
        for kind, path in zip(KINDS, paths, strict=True):
            try:
                if path:
                    files[kind] = KeyFile(path)
            except KeysError as error:
                raise SettingsError(f"{variable(kind)}: {error}") from None
        return cls(files, observe)

    @property
    def has_keys(self) -> bool:
        """Whether any route needs a key."""
        return bool(self._files)

    def guards(self, route: str) -> bool:
        """Whether a route needs a key."""
        return self.has_keys if route == NO_ROUTE else needs(route) in self._files

    def allows(self, route: str, headers: Headers) -> bool:
        """Whether these header fields (names in lower case) authorise a request to a route."""
        return not self.guards(route) or self.owner(route, headers) is not None

    def owner(self, route: str, headers: Headers) -> str | None:
        """The name of the key that authorises a request; None for none, also where none is needed."""
        return self._owner(route, _key_of(headers)) if self.guards(route) else None

    def check(self, route: str, headers: Headers, client: str) -> str | None:
        """The name of the request's key; None if the route is open. Raises Unauthorized."""
        if not self.guards(route):
            return None
        key = _key_of(headers)
        owner = self._owner(route, key)
        if owner is None:
            self._log_refusal(route, client, "none" if key is None else "unknown")
            raise Unauthorized(given=key is not None)
        return owner

    def _owner(self, route: str, key: bytes | None) -> str | None:
        kind = needs(route)
        if not key or kind is None or route == NO_ROUTE:
            return None
        return self._files[kind].keys.owner(key)

    def _log_refusal(self, route: str, client: str, key: str) -> None:
        """Log refused requests, at most once in ten seconds, and never the request's key."""
        if times := self._refusals.hit():
            KEY_REFUSED.log(endpoint=route, key=key, client=client, requests=times)

    @contextlib.asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Read the files again every second, within the `with` block."""
        reading = asyncio.create_task(self._reload_forever())
        try:
            yield
        finally:
            reading.cancel()

    async def _reload_forever(self) -> None:
        while self._files:
            await asyncio.sleep(_RELOAD_SECONDS)
            await self.reload()

    async def reload(self) -> None:
        """Read all files now. After a failed read, the previous keys of that file stay valid."""
        await asyncio.gather(*(self._reload_file(kind, file) for kind, file in self._files.items()))

    async def _reload_file(self, kind: Kind, file: KeyFile) -> None:
        try:
            changed = await file.reload()
        except KeysError as error:
            first = self._faults.get(kind) != str(error)
            self._faults[kind] = str(error)
            self._observe(KeysNotRead(variable(kind), str(error), first))
            return
        repaired = self._faults.pop(kind, None) is not None
        if changed or repaired:
            self._observe(KeysRead(variable(kind), len(file.keys.digests)))


def _key_of(headers: Headers) -> bytes | None:
    """The API key of a request, from `X-API-Key` or a bearer token (RFC 6750, section 2.1), or None."""
    bearer = None
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization" and bearer is None:
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                bearer = rest.strip()
    return bearer
