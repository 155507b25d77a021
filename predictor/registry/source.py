"""RegistrySource: versions from MLflow's registry, and their files from the cache or an artifact store."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from predictor.errors import CacheError, LoadError, RegistryError
from predictor.log_events import CACHE_NOT_READ, RUN_NOT_READ
from predictor.model.artifact import INPUT_EXAMPLE, MLMODEL, Fetched
from predictor.model.graph import read_graph
from predictor.model.mlmodel import names_example
from predictor.model.mlmodel import onnx_path as path_of_graph
from predictor.model_version import Listing, ModelUri, ModelVersion
from predictor.registry.artifacts import ArtifactStores, Blocking, checked
from predictor.registry.cache import Cache
from predictor.registry.listing import list_versions
from predictor.registry.versions import RegistryClient, RunBody

_MAX_STEPS = 5  # the copy of a copy of a run's model needs three
_MAX_MODELS = 10  # of one run


async def locate(registry: RegistryClient, version: ModelVersion) -> str:
    """The URI of a version's files, after following `runs:` and `models:` sources.

    Raises RegistryError, and LoadError (stage `fetch`) for a source that cannot be resolved.
    """
    uri = first = await registry.download_uri(version.name, version.version)
    for _ in range(_MAX_STEPS):
        scheme = uri.partition(":")[0].lower()
        if scheme == "runs":
            uri = await _of_run(registry, uri)
        elif scheme == "models":
            uri = await _of_model(registry, uri)
        else:
            return uri
    raise LoadError("fetch", f"{first} refers to other versions more than {_MAX_STEPS} times")


async def _of_run(registry: RegistryClient, uri: str) -> str:
    run_id, _, path = _path(uri).partition("/")
    run = await registry.run(run_id) if run_id else None
    if run is None:
        raise LoadError("fetch", f"{uri}: there is no such run; register the version again")
    logged = await _logged_in(registry, run, path)
    if logged:
        return logged
    return _below(_known(uri, run.info.artifact_uri), path)


async def _logged_in(registry: RegistryClient, run: RunBody, path: str) -> str | None:
    """The model NAME of `runs:/RUN/NAME`: MLflow 3 stores a run's models beside its artifacts."""
    name, _, rest = path.partition("/")
    for output in run.outputs.model_outputs[:_MAX_MODELS] if name else ():
        found = await registry.logged_model(output.model_id)
        if found is not None and found.name == name:
            return _below(found.artifact_uri, rest)
    return None


async def _of_model(registry: RegistryClient, uri: str) -> str:
    path = _path(uri)
    model_id, _, rest = path.partition("/")
    if model_id.startswith("m-"):
        found = await registry.logged_model(model_id)
        if found is not None:
            return _below(_known(uri, found.artifact_uri), rest)
        if not rest:
            raise LoadError("fetch", f"{uri}: there is no such logged model")
    try:
        other = ModelUri.parse(f"models:/{path}")
    except ValueError:
        other = None
    if other is None or other.kind != "version":
        # A stage or an alias may move while the version stays the same.
        raise LoadError("fetch", f"{uri} names no version; register a copy of models:/NAME/NUMBER")
    return await registry.download_uri(other.name, other.pointer)


def _path(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if parts.netloc or parts.query or parts.fragment or not parts.path.strip("/"):
        raise LoadError("fetch", f"{uri} is not of the form {uri.partition(':')[0]}:/ID/path")
    return unquote(parts.path).strip("/")


def _known(uri: str, artifact_uri: str) -> str:
    if not artifact_uri or not artifact_uri.isprintable():
        raise LoadError("fetch", f"{uri}: the registry does not say where its files are")
    return artifact_uri


def _below(uri: str, path: str) -> str:
    return f"{uri.rstrip('/')}/{checked(path)}" if path else uri


_EXAMPLE_BYTES, _EXAMPLE_SECONDS = 1_000_000, 10


class RegistrySource:
    """The Source that reads MLflow's registry and keeps files in a cache."""

    def __init__(
        self, registry: RegistryClient, stores: ArtifactStores, cache: Cache, max_bytes: int
    ) -> None:
        self._registry = registry
        self._stores = stores
        self._cache = cache
        self._max_bytes = max_bytes
        self._files = Blocking("readings of versions' files")
        self._writes = Blocking("writes to the cache", 4)

    async def aspired(self) -> ModelVersion | None:
        """As RegistryClient.aspired."""
        return await self._registry.aspired()

    def expect_change(self) -> None:
        """As RegistryClient.expect_change."""
        self._registry.expect_change()

    async def listing(self, named: Sequence[str]) -> Listing:
        """As `list_versions`."""
        return await list_versions(self._registry, named)

    @property
    def no_version_reason(self) -> str:
        """As RegistryClient.no_version_reason."""
        return self._registry.no_version_reason

    async def newest(self, version: ModelVersion) -> ModelVersion | None:
        """The same version with its present tags; None if it does not exist. Raises RegistryError."""
        return await self._registry.version(version.version)

    async def fetch(self, version: ModelVersion) -> Fetched:
        """The files of a version. Raises LoadError (stage `fetch`, `session` or `digest`)."""
        try:
            fetched = await self._files.run(self._cache.find, version)
        except OSError:
            fetched = None  # the later write reports why
        # If the tag has another digest, the file may have been replaced in the store.
        if fetched is None or version.expected_sha256 not in (None, fetched.artifact.onnx_sha256):
            fetched = await self._download(version)
            fetched.artifact.check(version.expected_sha256)
        return fetched

    async def fingerprint(self, version: ModelVersion) -> str | None:
        """A text with the names and sizes of a version's files; None if they cannot be listed."""
        try:
            uri = await locate(self._registry, version)
            return await self._stores.open(uri).listing()
        except (LoadError, RegistryError):
            # The fingerprint only decides when to try again; the next try reports the error.
            return None

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """The last known good version, if its files are intact; else None."""
        try:
            return await self._files.run(self._cache.last_verified)
        except (LoadError, OSError) as error:
            CACHE_NOT_READ.log(reason=str(error))
            return None

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Store a version as the last known good one. Raises CacheError."""
        try:
            await self._writes.run(self._cache.remember, version, fetched)
        except (OSError, LoadError) as error:
            raise CacheError("written", error) from error

    async def forget(self) -> None:
        """Store that no version may serve at a start without the registry. Raises CacheError."""
        try:
            await self._writes.run(self._cache.forget)
        except (OSError, LoadError) as error:
            raise CacheError("cleared", error) from error

    async def retag(self, version: ModelVersion) -> None:
        """Store these tags of the last known good version; do nothing for other versions. Raises CacheError."""
        try:
            await self._writes.run(self._cache.retag, version)
        except (OSError, LoadError) as error:
            raise CacheError("written", error) from error

    async def keep_withdrawals(self, envelopes: Sequence[str]) -> None:
        """Store these withdrawals of approvals for the next start and for other workers. Raises CacheError."""
        try:
            await self._writes.run(self._cache.keep_withdrawals, envelopes)
        except (OSError, LoadError) as error:
            raise CacheError("given the withdrawals", error) from error

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

        async def read(path: str) -> bytes:
            left = self._max_bytes - sum(map(len, contents.values()))
            contents[path] = await files.read(path, left)
            return contents[path]

        # Off the loop: reading 2 MB of YAML takes seconds.
        onnx_path = checked(await self._files.run(path_of_graph, await read(MLMODEL)))
        graph = await read(onnx_path)
        for path in await self._files.run(_external_files, graph, onnx_path):
            await read(path)
        if await self._files.run(names_example, contents[MLMODEL], INPUT_EXAMPLE):
            # Optional: without it, warm-up generates a row.
            with contextlib.suppress(LoadError, TimeoutError):
                async with asyncio.timeout(_EXAMPLE_SECONDS):
                    contents[INPUT_EXAMPLE] = await files.read(INPUT_EXAMPLE, _EXAMPLE_BYTES)
        metrics = await self._metrics(version)
        return await self._files.run(Fetched.of, onnx_path, contents, metrics)

    async def _metrics(self, version: ModelVersion) -> dict[str, float]:
        try:
            return dict(await self._registry.run_metrics(version.run_id))
        except RegistryError as error:
            # Metrics are only shown; a version serves without them.
            RUN_NOT_READ.log(model_version=version.version, reason=str(error))
            return {}


def _external_files(graph: bytes, onnx_path: str) -> list[str]:
    try:
        files = read_graph(graph).external_files
    except ValueError as error:
        raise LoadError("session", f"{onnx_path} is {error}") from error
    return [checked(str(PurePosixPath(onnx_path).parent / path)) for path in files]
