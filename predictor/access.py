"""Access: which keys open each route, in one table, and which keys exist."""

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
_OPEN = {"/", "/web/{name}", "/docs", "/web/docs/{name}", "/openapi.json", "/health", "/ready"}
_OPEN |= {"/ping", "/version"}
_OPEN |= {f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ServerReady")}
_OPEN |= {"/v2/health/live", "/v2/health/ready"}
_SIGNED = {"/webhooks/mlflow"}  # each request has a signature of its own
_OPERATIONS = {"/metrics", "/model", "/events"}
NO_ROUTE = ""
"""The route of a path that the table does not describe: where there are keys, none opens it."""

_LOOK_SECONDS = 1.0  # between two reads of the files: a removed key may work for so long
_QUIET_SECONDS = 10.0  # between two lines of the log about requests without a good key


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
        """Whether these header fields, with names in lower case, authorise a request to a route."""
        return not self.guards(route) or self._owner(route, _presented(headers)) is not None

    def check(self, route: str, headers: Headers, client: str) -> str | None:
        """The name of the request's key; None where none is needed. Raises Unauthorized."""
        if not self.guards(route):
            return None
        key = _presented(headers)
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
        """Log refused requests, at most once in ten seconds; never the key that a request had."""
        if times := self._refusals.hit():
            KEY_REFUSED.log(endpoint=route, key=key, client=client, requests=times)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the files again and again meanwhile."""
        reading = asyncio.create_task(self._read_on())
        try:
            yield
        finally:
            reading.cancel()

    async def _read_on(self) -> None:
        while self._files:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Read all files now. After a failed read, the previous keys of that file stay valid."""
        await asyncio.gather(*(self._look_at(kind, file) for kind, file in self._files.items()))

    async def _look_at(self, kind: Kind, file: KeyFile) -> None:
        try:
            changed = await file.look()
        except KeysError as error:
            first = self._faults.get(kind) != str(error)
            self._faults[kind] = str(error)
            self._observe(KeysNotRead(variable(kind), str(error), first))
            return
        mended = self._faults.pop(kind, None) is not None
        if changed or mended:
            self._observe(KeysRead(variable(kind), len(file.keys.digests)))


def _presented(headers: Headers) -> bytes | None:
    """The key that a request presents; None for none. RFC 6750, section 2.1, or `X-API-Key`."""
    bearer = None
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization" and bearer is None:
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                bearer = rest.strip()
    return bearer
