"""The registry of Databricks' Unity Catalog, and the files of its versions.

The protocol is that of MLflow's client: its REST paths and messages are in `mlflow/protos/databricks_uc_registry_*`,
`mlflow/store/_unity_catalog/` and `mlflow/store/artifact/`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from predictor.errors import LoadError, RegistryError
from predictor.origins import Origin
from predictor.registry.artifacts import (
    LISTING_SECONDS,
    ArtifactFiles,
    ArtifactStores,
    ProxiedFiles,
    StoredFiles,
    checked,
)
from predictor.registry.client import TrackingServer
from predictor.registry.versions import API, RegistryClient

SCHEME = "databricks-uc"
"""Of our own URIs for the files of a version, `databricks-uc:/CATALOG.SCHEMA.NAME/7`."""
T = TypeVar("T")
_CATALOG = f"{API}/unity-catalog"
_FILES_FLAG = f"{_CATALOG}/registered-models:is-databricks-sdk-models-artifact-repository-enabled"
_CREDENTIALS = f"{_CATALOG}/model-versions/generate-temporary-credentials"
_DOWNLOAD_URI = f"{_CATALOG}/model-versions/get-download-uri"
_FILES, _FOLDERS = "/api/2.0/fs/files", "/api/2.0/fs/directories"
_SIGNED_URL = "/api/2.0/fs/create-download-url"
_MAX_BYTES, _SECONDS = 1_000_000, 10


class UnityCatalog(RegistryClient):
    """Versions of a model in Unity Catalog, by alias or number: there are no stages."""

    newest_first: Mapping[str, str] = {}  # it sorts by itself

    async def download_uri(self, name: str, version: str) -> str:
        """A URI that only `open_files` reads: where the files are depends on the workspace."""
        return f"{SCHEME}:/{quote(name)}/{version}"

    def _path(self, path: str) -> str:
        in_catalog = path.startswith(("/registered-models", "/model-versions"))
        return f"{_CATALOG if in_catalog else API}{path}"

    def _permission(self, path: str) -> str:
        if path.startswith(("/runs", "/logged-models")):
            return super()._permission(path)
        return (
            f"{self._server.user} needs EXECUTE on the model {self.uri.name}, USE SCHEMA on its schema and "
            "USE CATALOG on its catalog"
        )


class _Flag(msgspec.Struct):
    enabled: bool = msgspec.field(
        name="is_databricks_sdk_models_artifact_repository_enabled", default=False
    )


class _Keys(msgspec.Struct):
    access_key_id: str
    secret_access_key: str
    session_token: str


class _Credentials(msgspec.Struct):
    aws_temp_credentials: _Keys | None = None
    storage_mode: str = ""


class _TemporaryCredentials(msgspec.Struct):
    credentials: _Credentials


class _Location(msgspec.Struct):
    artifact_uri: str


class _Header(msgspec.Struct):
    name: str
    value: str


class _SignedUrl(msgspec.Struct):
    url: str
    headers: list[_Header] = []


def open_files(stores: ArtifactStores, uri: str) -> "UnityCatalogFiles":
    """The files of a version, by the URI of `UnityCatalog.download_uri`."""
    _, name, version = urlsplit(uri).path.split("/")
    return UnityCatalogFiles(stores, unquote(name), version)


class UnityCatalogFiles:
    """The files of one version. The workspace says how they are read, at the first read."""

    def __init__(self, stores: ArtifactStores, name: str, version: str) -> None:
        self._stores = stores
        self._server = stores.registry
        self._name = name
        self._version = version
        self._files: ArtifactFiles | None = None

    async def read(self, path: str, max_bytes: int) -> bytes:
        """As ArtifactFiles.read."""
        return await (await self._resolved()).read(path, max_bytes)

    async def listing(self) -> str:
        """As ArtifactFiles.listing."""
        try:
            async with asyncio.timeout(LISTING_SECONDS):
                return await (await self._resolved()).listing()
        except TimeoutError as error:
            reason = f"no list of files from {self._server.address} in {LISTING_SECONDS:g} s"
            raise LoadError("fetch", reason) from error

    async def _resolved(self) -> ArtifactFiles:
        if self._files is None:
            self._files = await self._choose()
        return self._files

    async def _choose(self) -> ArtifactFiles:
        """The workspace's Files API, its signed URLs, or the customer's store with temporary credentials."""
        root = f"Models/{self._name.replace('.', '/')}/{self._version}"
        # As in MLflow's client: older workspaces have no such method.
        with contextlib.suppress(LoadError):
            if (await _call(self._server, _FILES_FLAG, _Flag)).enabled:
                return FilesApi(self._server, root)
        version = {"name": self._name, "version": self._version}
        body = {**version, "operation": "MODEL_VERSION_OPERATION_READ"}
        found = await _call(self._server, _CREDENTIALS, _TemporaryCredentials, body=body)
        if found.credentials.storage_mode == "DEFAULT_STORAGE":
            return SignedUrls(self._stores, root)
        uri = (await _call(self._server, _DOWNLOAD_URI, _Location, query=version)).artifact_uri
        keys = found.credentials.aws_temp_credentials
        if keys is None or not uri.startswith("s3:"):
            raise LoadError(
                "fetch",
                f"the files of {self._name} version {self._version} are at {uri[:200]!r}; of the stores that "
                "Databricks gives temporary credentials for, only S3 is read",
            )
        credentials: dict[str, object] = {
            "key": keys.access_key_id,
            "secret": keys.secret_access_key,
            "token": keys.session_token,
            # fsspec would keep an object for each of these credentials for good.
            "skip_instance_cache": True,
        }
        return StoredFiles(uri, "s3", "s3", {**self._stores.s3, **credentials})


class FilesApi(ProxiedFiles):
    """Files that the workspace itself sends."""

    def __init__(self, server: TrackingServer, root: str) -> None:
        super().__init__(server, root, _FILES)

    async def listing(self) -> str:
        """As ArtifactFiles.listing."""
        return await _listing(self._server, self._root)

    def _why(self, status: int) -> str:
        forbidden = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        return f": {self._server.user} needs EXECUTE on the model" if forbidden else ""


class SignedUrls:
    """Files in Databricks' default storage, by a signed URL for each.

    The URL's host must be in PREDICTOR_ARTIFACT_HOSTS; it gets no other credentials.
    """

    def __init__(self, stores: ArtifactStores, root: str) -> None:
        self._stores = stores
        self._root = root

    async def read(self, path: str, max_bytes: int) -> bytes:
        """As ArtifactFiles.read."""
        place = {"path": f"/{self._root}/{checked(path)}"}
        signed = await _call(self._stores.registry, _SIGNED_URL, _SignedUrl, body=place)
        try:
            origin, parts = Origin.of(signed.url), urlsplit(signed.url)
        except ValueError:
            raise LoadError("fetch", f"Databricks gives no URL for {place['path']}") from None
        server = self._stores.others.get(origin)
        if server is None:
            raise LoadError(
                "fetch",
                f"{place['path']} is in Databricks' default storage; PREDICTOR_ARTIFACT_HOSTS may list {origin}",
            )
        headers = {each.name: each.value for each in signed.headers}
        try:
            reply = await server.get(
                f"{parts.path}?{parts.query}", headers=headers, max_bytes=max_bytes
            )
        except RegistryError as error:
            raise LoadError("fetch", str(error)) from error
        if reply.status != HTTPStatus.OK:
            raise LoadError("fetch", f"GET {server.named(parts.path)} answers HTTP {reply.status}")
        return reply.content

    async def listing(self) -> str:
        """As ArtifactFiles.listing."""
        return await _listing(self._stores.registry, self._root)


async def _listing(server: TrackingServer, root: str) -> str:
    path = quote(f"{_FOLDERS}/{root}")
    return repr(await _call(server, path, dict[str, object]))


async def _call(
    server: TrackingServer,
    path: str,
    kind: type[T],
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, str] | None = None,
) -> T:
    """Call a method of the workspace, with POST if there is a body. Raises LoadError (stage `fetch`)."""
    try:
        if body is None:
            reply = await server.get(path, query, max_bytes=_MAX_BYTES, seconds=_SECONDS)
        else:
            reply = await server.post(path, body, max_bytes=_MAX_BYTES, seconds=_SECONDS)
    except RegistryError as error:
        raise LoadError("fetch", str(error)) from error
    if reply.status != HTTPStatus.OK:
        detail = server.shown(reply.content[:500].decode(errors="replace"))
        raise LoadError("fetch", f"{server.named(path)} answers HTTP {reply.status} {detail}")
    try:
        return msgspec.json.decode(reply.content, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LoadError(
            "fetch", f"the response of {server.named(path)} is not that of Databricks"
        ) from error
