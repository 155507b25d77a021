"""The reconciler's border to the outside, and the last known good version that is kept behind it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from predictor.errors import CacheError
from predictor.events import CacheFailed, Observe
from predictor.model.artifact import Fetched
from predictor.model_version import ModelVersion


class Source(Protocol):
    """Where versions and their files come from."""

    async def aspired(self) -> ModelVersion | None:
        """The version that should serve. Raises RegistryError."""

    @property
    def none_reason(self) -> str:
        """Why the last `aspired` was None, for people; it may be empty."""

    async def fetch(self, version: ModelVersion) -> Fetched:
        """Its files. Raises LoadError."""

    async def fingerprint(self, version: ModelVersion) -> str | None:
        """A text that differs once the version's files do; None where nobody can tell."""

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """What served last by the registry's word, if its files are still what they were."""

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Keep a verified version for a start without the registry. Raises CacheError."""

    async def forget(self) -> None:
        """Serve nothing at the next start unless the registry says so. Raises CacheError."""

    async def close(self) -> None:
        """Ask nothing any more, and let go of what is open."""


class LastKnownGood:
    """Writes to the source's cache what serves, or that none may, and tells it once after a start."""

    def __init__(
        self,
        source: Source,
        observe: Observe,
        serving: Callable[[], ModelVersion | None],
        none_may_serve: Callable[[], bool],
    ) -> None:
        """`serving` tells which version serves now, `none_may_serve` whether that is forbidden."""
        self._source = source
        self._observe = observe
        self._serving = serving
        self._none_may_serve = none_may_serve
        self._loaded = False
        self._saving = asyncio.Lock()
        # Its files are kept until they are written down, and no longer.
        self._pending: tuple[ModelVersion, Fetched] | None = None
        self.fault: str | None = None

    def set_pending(self, version: ModelVersion, fetched: Fetched) -> None:
        """What serves from now on, for the next `record` to write down."""
        self._pending = (version, fetched)

    def drop_pending(self) -> None:
        """What was to be written down does not serve any more."""
        self._pending = None

    async def save(self) -> None:
        """Write down what serves; or that nothing does, where none may.

        One at a time, and always what serves now: a slow write of an older version must not
        come after the newer one's, nor after the news that none may serve.
        """
        async with self._saving:
            pending, self._pending = self._pending, None
            try:
                if pending is not None:
                    await self._source.remember(*pending)
                elif self._serving() is None and self._none_may_serve():
                    await self._source.forget()
                else:
                    return
            except CacheError as error:
                self.fault = str(error)
                self._observe(CacheFailed(self._serving(), str(error)))
            else:
                self.fault = None

    async def load(self, wanted: Callable[[], bool]) -> tuple[ModelVersion, Fetched] | None:
        """What served last, if it is wanted before and after it was looked for. Tells it once."""
        if self._loaded or not wanted():
            return None
        self._loaded = True
        found = await self._source.last_verified()
        if not wanted():
            self._loaded = False  # the registry has spoken meanwhile
            return None
        return found
