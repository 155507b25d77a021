"""Where a version's files come from: the tracking server's artifact proxy, or a store of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx

from predictor.errors import LoadError
from predictor.loading.blocking import Blocking

_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_CHUNK = 1 << 20  # bytes
_LISTING_SECONDS, _LISTING_BYTES = 2, 1_000_000  # it is asked for between two polls
_STORES = Blocking("readings of artifact stores")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure"}


class ArtifactFiles(Protocol):
    """The files below one artifact URI."""

    async def read(self, path: str, most: int) -> bytes:
        """The bytes of one file.

        Raises LoadError (stage `fetch`) where it is missing, cannot be read or has more than
        `most` bytes.
        """

    async def listing(self) -> str:
        """A text that differs once a file is added, removed or replaced by one of another size.

        Raises LoadError (stage `fetch`).
        """


def open_files(uri: str, client: httpx.AsyncClient) -> ArtifactFiles:
    """The files below `uri`. Raises LoadError for a URI that cannot be read."""
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        if parts.netloc and parts.netloc != client.base_url.netloc.decode():
            raise LoadError("fetch", f"{uri} names another server than MLFLOW_TRACKING_URI")
        return ProxiedFiles(client, parts.path.strip("/"))
    # MLflow quotes the spaces of a file: URI, and fsspec takes it as it is.
    local = {"": uri, "file": unquote(parts.path)}
    return StoredFiles(f"file://{local[parts.scheme]}" if parts.scheme in local else uri)


class ProxiedFiles:
    """Through the tracking server: no credentials for the store are needed."""

    def __init__(self, client: httpx.AsyncClient, root: str) -> None:
        self._client = client
        self._root = root

    async def read(self, path: str, most: int) -> bytes:
        """As ArtifactFiles.read."""
        url = f"{_PROXY}/{quote(self._root)}/{quote(checked(path))}"
        try:
            async with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise LoadError("fetch", f"GET {url} answers HTTP {response.status_code}")
                return await _gather(response.aiter_bytes(_CHUNK), path, most)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise LoadError("fetch", f"GET {url}: {said}") from error

    async def listing(self) -> str:
        """As ArtifactFiles.listing: names and sizes, as the server tells them."""
        query = {"path": self._root}
        try:
            async with (
                asyncio.timeout(_LISTING_SECONDS),
                self._client.stream("GET", _PROXY, params=query) as response,
            ):
                response.raise_for_status()
                content = await _gather(response.aiter_bytes(), "the listing", _LISTING_BYTES)
        except (httpx.HTTPError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise LoadError("fetch", f"GET {_PROXY}: {said}") from error
        return content.decode(errors="replace")


class StoredFiles:
    """Straight from where they are: a local folder, or an object store through fsspec's drivers."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    async def read(self, path: str, most: int) -> bytes:
        """As ArtifactFiles.read."""
        file = await _STORES.run(self._open, checked(path))
        with contextlib.closing(file):
            return await _gather(self._chunks(file, path), path, most)

    async def listing(self) -> str:
        """As ArtifactFiles.listing: whatever the store tells of each file, times included."""
        try:
            async with asyncio.timeout(_LISTING_SECONDS):
                return await _STORES.run(self._list)
        except TimeoutError as error:
            reason = f"cannot list {self._uri}: no answer in {_LISTING_SECONDS:g} s"
            raise LoadError("fetch", reason) from error

    def _list(self) -> str:
        import fsspec

        try:
            store, path = fsspec.core.url_to_fs(self._uri)
            return repr(sorted(sorted(each.items()) for each in store.ls(path, detail=True)))
        except Exception as error:  # every driver raises errors of its own
            raise LoadError("fetch", f"cannot list {self._uri}: {error}") from error

    def _open(self, path: str) -> Any:
        # Only versions outside the tracking server's proxy need it.
        import fsspec

        url = f"{self._uri}/{path}"
        try:
            return fsspec.open(url, "rb").open()
        except Exception as error:  # every driver raises errors of its own
            extra = _EXTRAS.get(urlsplit(url).scheme)
            # ValueError: fsspec has heard of some drivers only once they are installed.
            missing = extra and isinstance(error, (ImportError, ValueError))
            hint = f"; install mlflow-hotswap[{extra}]" if missing else ""
            said = str(error) or type(error).__name__
            raise LoadError("fetch", f"cannot read {url}: {said}{hint}") from error

    async def _chunks(self, file: Any, path: str) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await _STORES.run(file.read, _CHUNK)
            except Exception as error:
                raise LoadError("fetch", f"cannot read {self._uri}/{path}: {error}") from error
            if not chunk:
                return
            yield chunk


def checked(path: str) -> str:
    """A relative path inside the artifact's folder. Raises LoadError for one that climbs out of it."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise LoadError(
            "fetch", f"the artifact names the file {path!r}, which is outside its folder"
        )
    return str(pure)


async def _gather(chunks: AsyncIterator[bytes], path: str, most: int) -> bytes:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > most:
            raise LoadError(
                "fetch",
                f"{path} exceeds the limit on a version's files (PREDICTOR_MAX_MODEL_BYTES)",
            )
    return bytes(content)
