"""The ports of the reconciler: Source leads to the registry and the cache, Approvals to people. And LastKnownGood."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from predictor.errors import CacheError
from predictor.events import CacheFailed, Observe
from predictor.model.artifact import Artifact, Fetched
from predictor.model.servable import Servable
from predictor.model_version import Listing, ModelVersion


class Source(Protocol):
    """The registry and its files, and the cache of the last known good version."""

    async def aspired(self) -> ModelVersion | None:
        """The version that should serve. Raises RegistryError."""

    def expect_change(self) -> None:
        """The registry has just changed: let the next poll pass caches that may be older."""

    @property
    def no_version_reason(self) -> str:
        """Why the last `aspired` was None, for people; it may be empty."""

    async def listing(self, named: Sequence[str]) -> Listing:
        """The versions of the model, for people; `named` are numbers that must be among them. Raises RegistryError."""

    async def fetch(self, version: ModelVersion) -> Fetched:
        """The files of a version. Raises LoadError."""

    async def fingerprint(self, version: ModelVersion) -> str | None:
        """A text that changes when the version's files change; None if it is unknown."""

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """The last known good version, if its files are intact; else None."""

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Store a version as the last known good one. Raises CacheError."""

    async def forget(self) -> None:
        """Store that no version may serve after a start without the registry. Raises CacheError."""

    async def close(self) -> None:
        """Close the connections."""


class Approvals(Protocol):
    """Decides, besides the registry, which versions may serve."""

    async def update(self, aspired: ModelVersion | None) -> None:
        """Take over the tags of the aspired and of the serving version. Raises RegistryError."""

    def refusal(self, version: ModelVersion, artifact: Artifact | None = None) -> str | None:
        """Why a version may not serve; None if it may. Without its artifact, its files are left out."""

    def serves(self, servable: Servable | None) -> None:
        """This servable serves from now on; None: nothing serves."""


class NoApprovals:
    """No version needs an approval."""

    async def update(self, aspired: ModelVersion | None) -> None:
        """Do nothing."""

    def refusal(self, version: ModelVersion, artifact: Artifact | None = None) -> str | None:  # noqa: ARG002
        """None: each version may serve."""
        return None

    def serves(self, servable: Servable | None) -> None:
        """Do nothing."""


NO_APPROVALS = NoApprovals()


class LastKnownGood:
    """Saves the serving version, or the fact that none may serve; loads it once after a start."""

    def __init__(
        self,
        source: Source,
        observe: Observe,
        serving: Callable[[], ModelVersion | None],
        none_may_serve: Callable[[], bool],
    ) -> None:
        """`serving` returns the serving version, `none_may_serve` whether the registry forbids serving."""
        self._source = source
        self._observe = observe
        self._serving = serving
        self._none_may_serve = none_may_serve
        self._loaded = self._forgotten = False
        self._saving = asyncio.Lock()
        # Files are large, so they are released as soon as they are saved.
        self._pending: tuple[ModelVersion, Fetched] | None = None
        self.fault: str | None = None

    def set_pending(self, version: ModelVersion, fetched: Fetched) -> None:
        """Let the next `save` write this version."""
        self._pending = (version, fetched)

    def drop_pending(self) -> None:
        """Let the next `save` write no version."""
        self._pending = None

    def allow_another_load(self) -> None:
        """Let the next `load` return the version again, because it was not built."""
        self._loaded = False

    async def save(self) -> None:
        """Write the pending version; or that none may serve, if the registry names none.

        Writes happen one at a time, and each writes the present state: a slow write of an older version must
        not overwrite a newer state.
        """
        async with self._saving:
            pending, self._pending = self._pending, None
            try:
                if pending is not None:
                    await self._source.remember(*pending)
                elif self._serving() is None and self._none_may_serve():
                    self._forgotten = True  # also if the write fails
                    await self._source.forget()
                else:
                    return
            except CacheError as error:
                self.fault = str(error)
                self._observe(CacheFailed(self._serving(), str(error)))
            else:
                self.fault = None

    async def load(self, wanted: Callable[[], bool]) -> tuple[ModelVersion, Fetched] | None:
        """The last known good version, if it is `wanted` both before and after the read. Returns it once only.

        None after a `save` that none may serve.
        """
        if self._loaded or self._forgotten or not wanted():
            return None
        self._loaded = True
        found = await self._source.last_verified()
        if not wanted():
            self._loaded = False  # the registry answered meanwhile
            return None
        return found
