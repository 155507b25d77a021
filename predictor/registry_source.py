"""RegistrySource: a version's files, from the cache or from the registry, checked against their digest."""

import asyncio
import contextlib
from pathlib import PurePosixPath

import structlog

from predictor.errors import CacheError, LoadError, RegistryError
from predictor.loading.artifact import INPUT_EXAMPLE, MLMODEL, Fetched
from predictor.loading.artifact_files import ArtifactStores, checked
from predictor.loading.blocking import Blocking
from predictor.loading.cache import Cache
from predictor.loading.mlmodel import names_example
from predictor.loading.mlmodel import onnx_path as path_of_graph
from predictor.loading.onnx_graph import read_graph
from predictor.model_version import ModelVersion
from predictor.registry import Registry
from predictor.registry_locations import locate

_EXAMPLE_BYTES, _EXAMPLE_SECONDS = 1_000_000, 10
log = structlog.get_logger()


class RegistrySource:
    """The Source that asks MLflow's registry and keeps what it fetched in a cache."""

    def __init__(
        self, registry: Registry, stores: ArtifactStores, cache: Cache, max_bytes: int
    ) -> None:
        self._registry = registry
        self._stores = stores
        self._cache = cache
        self._max_bytes = max_bytes
        self._files = Blocking("readings of versions' files")
        self._writes = Blocking("writes to the cache", 4)

    async def aspired(self) -> ModelVersion | None:
        """As Registry.aspired."""
        return await self._registry.aspired()

    @property
    def absence(self) -> str:
        """As Registry.absence."""
        return self._registry.absence

    async def fetch(self, version: ModelVersion) -> Fetched:
        """The files of a version. Raises LoadError (stage `fetch`, `session` or `digest`)."""
        try:
            fetched = await self._files.run(self._cache.find, version)
        except OSError:
            fetched = None  # writing to it, later, tells why
        # A tag that is not the kept file's speaks of another file, which may be there by now.
        if fetched is None or version.expected_sha256 not in (None, fetched.artifact.onnx_sha256):
            fetched = await self._download(version)
            fetched.artifact.check(version.expected_sha256)
        return fetched

    async def listing(self, version: ModelVersion) -> str | None:
        """The names and sizes of a version's files; None where they cannot be listed."""
        try:
            uri = await locate(self._registry, version)
            return await self._stores.open(uri).listing()
        except (LoadError, RegistryError):
            # It only serves to try a failed version sooner; the next try tells what is wrong.
            return None

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """What served last by the registry's word, if its files are still what they were."""
        try:
            return await self._files.run(self._cache.last_verified)
        except (LoadError, OSError) as error:
            log.warning("cache_not_read", reason=str(error))
            return None

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Keep a verified version for a start without the registry. Raises CacheError."""
        try:
            await self._writes.run(self._cache.remember, version, fetched)
        except (OSError, LoadError) as error:
            raise CacheError("written", error) from error

    async def forget(self) -> None:
        """Serve nothing at the next start unless the registry says so. Raises CacheError."""
        try:
            await self._writes.run(self._cache.forget)
        except (OSError, LoadError) as error:
            raise CacheError("cleared", error) from error

    async def close(self) -> None:
        """Close the connections to the registry."""
        for server in (self._stores.registry, *self._stores.others.values()):
            await server.close()

    async def _download(self, version: ModelVersion) -> Fetched:
        try:
            uri = await locate(self._registry, version)
        except RegistryError as error:
            raise LoadError("fetch", str(error)) from error
        files = self._stores.open(uri)
        contents: dict[str, bytes] = {}

        async def bring(path: str) -> bytes:
            left = self._max_bytes - sum(map(len, contents.values()))
            contents[path] = await files.read(path, left)
            return contents[path]

        # Off the loop: reading 2 MB of YAML takes seconds.
        onnx_path = checked(await self._files.run(path_of_graph, await bring(MLMODEL)))
        graph = await bring(onnx_path)
        for path in await self._files.run(_external_files, graph, onnx_path):
            await bring(path)
        if await self._files.run(names_example, contents[MLMODEL], INPUT_EXAMPLE):
            # It only saves inventing a row: a version is served without it.
            with contextlib.suppress(LoadError, TimeoutError):
                async with asyncio.timeout(_EXAMPLE_SECONDS):
                    contents[INPUT_EXAMPLE] = await files.read(INPUT_EXAMPLE, _EXAMPLE_BYTES)
        metrics = await self._metrics(version)
        return await self._files.run(Fetched.of, onnx_path, contents, metrics)

    async def _metrics(self, version: ModelVersion) -> dict[str, float]:
        try:
            return dict(await self._registry.run_metrics(version.run_id))
        except RegistryError as error:
            # They are for people to read; a version does not need them to serve.
            log.warning("run_not_read", model_version=version.version, reason=str(error))
            return {}


def _external_files(graph: bytes, onnx_path: str) -> list[str]:
    try:
        files = read_graph(graph).external_files
    except ValueError as error:
        raise LoadError("session", f"{onnx_path} is {error}") from error
    return [checked(str(PurePosixPath(onnx_path).parent / path)) for path in files]
