"""Source: the reconciler's border to the outside. Tests have a second one, without a network."""

from typing import Protocol

from predictor.loading.artifact import Fetched
from predictor.model_version import ModelVersion


class Source(Protocol):
    """Where versions and their files come from."""

    async def aspired(self) -> ModelVersion | None:
        """The version that should serve. Raises RegistryError."""

    @property
    def absence(self) -> str:
        """Why the last `aspired` was None, for people; it may be empty."""

    async def fetch(self, version: ModelVersion) -> Fetched:
        """Its files. Raises LoadError."""

    async def listing(self, version: ModelVersion) -> str | None:
        """A text that differs once the version's files do; None where nobody can tell."""

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """What served last by the registry's word, if its files are still what they were."""

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Keep a verified version for a start without the registry. Raises CacheError."""

    async def forget(self) -> None:
        """Serve nothing at the next start unless the registry says so. Raises CacheError."""

    async def close(self) -> None:
        """Ask nothing any more, and let go of what is open."""
