"""RegistrySource: a version's files, from the cache or from the registry, checked against their digest."""

import asyncio
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import structlog
import yaml

from predictor.artifact import MLMODEL, Artifact, sha256_of
from predictor.artifact_files import ArtifactFiles, checked, open_files
from predictor.cache import Cache
from predictor.errors import LoadError, RegistryError
from predictor.model_version import ModelVersion
from predictor.onnx_graph import read_graph
from predictor.registry import Registry

log = structlog.get_logger()


class RegistrySource:
    """The Source that asks MLflow's registry and keeps what it fetched in a cache."""

    def __init__(
        self, registry: Registry, client: httpx.AsyncClient, cache: Cache, max_bytes: int
    ) -> None:
        self._registry = registry
        self._client = client
        self._cache = cache
        self._max_bytes = max_bytes

    async def aspired(self) -> ModelVersion | None:
        """As Registry.aspired."""
        return await self._registry.aspired()

    async def fetch(self, version: ModelVersion) -> Artifact:
        """The files of a version. Raises LoadError (stage `fetch` or `digest`)."""
        artifact = await asyncio.to_thread(self._cache.find, version)
        # A tag that is not the kept file's speaks of another file, which may be there by now.
        if artifact is None or version.expected_sha256 not in (None, artifact.onnx_sha256):
            artifact = await self._download(version)
        return artifact

    async def last_verified(self) -> tuple[ModelVersion, Artifact] | None:
        """What served last by the registry's word, if its files are still what they were."""
        return await asyncio.to_thread(self._cache.last_verified)

    async def remember(self, version: ModelVersion, artifact: Artifact) -> None:
        """Keep a verified version for a start without the registry; a full disk only costs that."""
        try:
            await asyncio.to_thread(self._cache.remember, version, artifact)
        except OSError as error:
            log.warning("cache_not_written", model_version=version.version, reason=str(error))

    async def forget(self) -> None:
        """Serve nothing at the next start unless the registry says so."""
        try:
            await asyncio.to_thread(self._cache.forget)
        except OSError as error:
            log.error("cache_not_cleared", reason=str(error))  # noqa: TRY400  a line, not a traceback

    async def _download(self, version: ModelVersion) -> Artifact:
        try:
            uri = await self._registry.download_uri(version)
        except RegistryError as error:
            raise LoadError("fetch", str(error)) from error
        files = open_files(uri, self._client)
        folder = await asyncio.to_thread(self._scratch)
        try:
            fetched = await self._fetch_into(folder, files, version)
            fetched.check(version.expected_sha256)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Not under the clean-up: a load that is given up leaves this thread running, and a folder
        # that is moved must not be removed at the same time.
        return await asyncio.to_thread(self._keep, fetched)

    async def _fetch_into(
        self, folder: Path, files: ArtifactFiles, version: ModelVersion
    ) -> Artifact:
        try:
            left = self._max_bytes - await files.download(
                MLMODEL, folder / MLMODEL, self._max_bytes
            )
            onnx_path = _onnx_path(folder / MLMODEL)
            left -= await files.download(onnx_path, folder / onnx_path, left)
            paths = [MLMODEL, onnx_path]
            for path in await asyncio.to_thread(_external_files, folder, onnx_path):
                left -= await files.download(path, folder / path, left)
                paths.append(path)
            digests = {path: await asyncio.to_thread(sha256_of, folder / path) for path in paths}
        except OSError as error:
            raise LoadError("fetch", f"cannot write {folder}: {error}") from error
        return Artifact(folder, onnx_path, digests, await self._metrics(version))

    async def _metrics(self, version: ModelVersion) -> dict[str, float]:
        try:
            return dict(await self._registry.run_metrics(version.run_id))
        except RegistryError as error:
            # They are for people to read; a version does not need them to serve.
            log.warning("run_not_read", model_version=version.version, reason=str(error))
            return {}

    def _scratch(self) -> Path:
        try:
            return self._cache.scratch()
        except OSError as error:
            log.warning("cache_not_written", reason=str(error))
            return Path(tempfile.mkdtemp(prefix="mlflow-hotswap-"))

    def _keep(self, fetched: Artifact) -> Artifact:
        try:
            return self._cache.keep(fetched)
        except OSError as error:
            log.warning("cache_not_written", reason=str(error))
            return fetched


def _onnx_path(mlmodel: Path) -> str:
    try:
        described: Any = yaml.safe_load(mlmodel.read_text())
        path = described["flavors"]["onnx"]["data"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise LoadError(
            "fetch",
            "MLmodel has no onnx flavour; log the model with mlflow.onnx or with our trainer",
        ) from error
    return checked(str(path))


def _external_files(folder: Path, onnx_path: str) -> list[str]:
    try:
        files = read_graph((folder / onnx_path).read_bytes()).external_files
    except ValueError as error:
        raise LoadError("session", f"{onnx_path} is {error}") from error
    return [checked(str(PurePosixPath(onnx_path).parent / path)) for path in files]
