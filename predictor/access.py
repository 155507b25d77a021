"""Access: which keys each route asks for, in one table, and who has them."""

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
NOBODYS = ""
"""In place of a route that no key opens, where there are keys."""

_LOOK_SECONDS = 1.0  # between two looks at the files: so long a key that was taken out may work
_QUIET_SECONDS = 10.0  # between two lines of the log about requests without a good key


def needs(route: str) -> Kind | None:
    """Whose keys a route asks for, by its path; None for nobody's. What is in no row is not open."""
    if route in _OPEN or route in _SIGNED:
        return None
    return "operations_keys_file" if route in _OPERATIONS else "api_keys_file"


class Access:
    """Who may ask for what. Where a kind of keys has no file, everybody may."""

    def __init__(self, files: Mapping[Kind, KeyFile], observe: Observe) -> None:
        self._files = dict(files)
        self._observe = observe
        self._faults: dict[Kind, str] = {}
        self._refusals = LogThrottle(_QUIET_SECONDS)

    @classmethod
    def of(cls, settings: Settings, observe: Observe) -> "Access":
        """With the files that the settings name. Raises SettingsError for one that cannot be used."""
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
    def asks(self) -> bool:
        """Whether anything asks for a key."""
        return bool(self._files)

    def guards(self, route: str) -> bool:
        """Whether a route asks for a key."""
        return self.asks if route == NOBODYS else needs(route) in self._files

    def allows(self, route: str, headers: Headers) -> bool:
        """Whether a request with these header fields, names in lower case, may ask a route."""
        return not self.guards(route) or self._owner(route, _presented(headers)) is not None

    def check(self, route: str, headers: Headers, client: str) -> str | None:
        """The name of the key that asks; None where none is needed. Raises Unauthorized."""
        if not self.guards(route):
            return None
        key = _presented(headers)
        owner = self._owner(route, key)
        if owner is None:
            self._tell(route, client, "none" if key is None else "unknown")
            raise Unauthorized(given=key is not None)
        return owner

    def _owner(self, route: str, key: bytes | None) -> str | None:
        kind = needs(route)
        if not key or kind is None or route == NOBODYS:
            return None
        return self._files[kind].keys.owner(key)

    def _tell(self, route: str, client: str, key: str) -> None:
        """Log the first request that is refused, and later how many were; never what it presented."""
        if times := self._refusals.hit():
            KEY_REFUSED.log(endpoint=route, key=key, client=client, requests=times)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Look at the files again and again meanwhile."""
        looks = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            looks.cancel()

    async def _look_on(self) -> None:
        while self._files:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the keys that the files hold now; those of a file that is broken stay as they were."""
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
