"""ArtifactStores: read a version's files from the artifact proxy, an HTTP host, an object store or a folder."""

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, ParamSpec, Protocol, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

from predictor.errors import LoadError, RegistryError
from predictor.origins import Origin, host_and_port
from predictor.registry.client import TooLarge, TrackingServer

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Runs blocking work of one kind in threads, at most `max_threads` at a time."""

    def __init__(self, what: str, max_threads: int = 16) -> None:
        """`what` names the work in errors, in the plural."""
        self._what = what
        self._max_threads = max_threads
        self._places = threading.BoundedSemaphore(max_threads)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and return its result. Raises its error, or LoadError if too many hang."""
        if not self._places.acquire(blocking=False):
            raise LoadError(
                "fetch", f"{self._max_threads} {self._what} have not ended; look at the store"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        call = partial(copy_context().run, partial(work, *args, **kwargs))

        def in_thread() -> None:
            try:
                settle = partial(_settle, future, call(), None)
            except BaseException as error:  # noqa: BLE001  the caller gets every error
                settle = partial(_settle, future, None, error)
            finally:
                self._places.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended: there is no caller
                loop.call_soon_threadsafe(settle)

        threading.Thread(target=in_thread, name=f"blocking {self._what}", daemon=True).start()
        return await future


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # its caller gave up
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_CHUNK = 1 << 20  # bytes
LISTING_SECONDS, _LISTING_BYTES = 2, 1_000_000  # short, because it is read between two polls
_STORES = Blocking("readings of artifact stores")
# fsspec's driver for each scheme, and the extra that installs it. Other schemes are not passed to fsspec:
# it has dozens, some of which run programs or send requests to any host.
_DRIVERS = {
    "s3": ("s3", "s3"),
    "s3a": ("s3", "s3"),
    "gs": ("gs", "gcs"),
    "gcs": ("gs", "gcs"),
    "abfs": ("abfs", "azure"),
    "abfss": ("abfss", "azure"),
}
_HTTP = {"mlflow-artifacts", "http", "https"}
_SERVED = "mlflow-artifacts, http, https, file, s3, gs, abfss, runs and models"


class ArtifactFiles(Protocol):
    """The files below one artifact URI."""

    async def read(self, path: str, max_bytes: int) -> bytes:
        """The bytes of one file.

        Raises LoadError (stage `fetch`) if it is missing, cannot be read or has more than `max_bytes`
        bytes.
        """

    async def listing(self) -> str:
        """A text that changes when a file is added, removed or changes its size.

        Raises LoadError (stage `fetch`).
        """


@dataclass(frozen=True)
class ArtifactStores:
    """All servers and stores from which files may be read.

    `others` are further hosts, which never get the registry's credentials. `s3` are the options of fsspec's
    S3 driver. `schemes` open the URIs of schemes that only this registry has.
    """

    registry: TrackingServer
    others: Mapping[Origin, TrackingServer] = field(default_factory=dict)
    s3: Mapping[str, Any] = field(default_factory=dict)
    schemes: Mapping[str, "Callable[[ArtifactStores, str], ArtifactFiles]"] = field(
        default_factory=dict
    )

    def open(self, uri: str) -> ArtifactFiles:
        """The files below `uri`. Raises LoadError for a URI that is not served."""
        named = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
        scheme = named[1].lower() if named else ""
        if scheme in self.schemes:
            return self.schemes[scheme](self, uri)
        if scheme not in {*_DRIVERS, *_HTTP, "", "file"}:
            raise LoadError("fetch", f"{scheme}: sources are not served, but {_SERVED} are")
        try:
            parts = urlsplit(uri)
            _ = parts.port
        except ValueError:
            raise LoadError("fetch", f"the {scheme}: source is not an address") from None
        if scheme in _HTTP:
            return self._proxied(uri, parts)
        # In abfss: URIs, the container is written like a user name.
        if parts.password or ("@" in parts.netloc and scheme not in {"abfs", "abfss"}):
            raise LoadError("fetch", f"the {scheme}: source has credentials in its address")
        if scheme in _DRIVERS:
            driver, extra = _DRIVERS[scheme]
            return StoredFiles(uri, driver, extra, self.s3 if driver == "s3" else {})
        return StoredFiles(f"file://{_local(uri, parts)}", "file")

    def _proxied(self, uri: str, parts: SplitResult) -> "ProxiedFiles":
        if "@" in parts.netloc:
            raise LoadError("fetch", f"the {parts.scheme}: source has credentials in its address")
        if parts.query or parts.fragment:
            raise LoadError(
                "fetch",
                f"the {parts.scheme}: source has a query or a fragment, which no folder has",
            )
        own = Origin.of(str(self.registry.base_url))
        prefix = self.registry.base_url.path.rstrip("/")
        path = unquote(parts.path)
        if parts.scheme.lower() == "mlflow-artifacts":
            # As in MLflow: the scheme, and the path before the API, are those of the tracking server.
            host = host_and_port(parts.netloc, own.scheme) if parts.netloc else (own.host, own.port)
            origin, path = Origin(own.scheme, *host), f"{prefix}{_PROXY}/{path.strip('/')}"
        elif parts.hostname:
            origin = Origin.of(uri)
        else:
            raise LoadError("fetch", f"{uri} names no host")
        server = self.others.get(origin)
        if origin == own and path.startswith(f"{prefix}{_PROXY}/"):
            server, path = self.registry, path.removeprefix(prefix)
        if server is None:
            raise LoadError(
                "fetch",
                f"{uri} is on another server than MLFLOW_TRACKING_URI; "
                f"PREDICTOR_ARTIFACT_HOSTS may list {origin}",
            )
        service, found, root = path.rpartition(f"{_PROXY}/")
        return ProxiedFiles(
            server, (root if found else path).strip("/"), f"{service}{_PROXY}" if found else ""
        )


class ProxiedFiles:
    """Files behind a tracking server's proxy, which has the store's credentials; or on any HTTP server."""

    def __init__(self, server: TrackingServer, root: str, service: str = _PROXY) -> None:
        """`root` is the folder below `service`, the path of the API on that server."""
        self._server = server
        self._root = root
        self._service = service

    async def read(self, path: str, max_bytes: int) -> bytes:
        """As ArtifactFiles.read."""
        url = f"{quote(self._service)}/{quote(self._root)}/{quote(checked(path))}"
        try:
            status, content, _ = await self._server.get(url, max_bytes=max_bytes)
        except TooLarge as error:
            raise _too_large(path) from error
        except RegistryError as error:
            raise LoadError("fetch", f"GET {url}: {error}") from error
        if status != HTTPStatus.OK:
            raise LoadError(
                "fetch", f"GET {self._server.named(url)} answers HTTP {status}{self._why(status)}"
            )
        return content

    async def listing(self) -> str:
        """As ArtifactFiles.listing: the server's listing, with names and sizes."""
        url = quote(self._service) or "/"
        try:
            status, content, _ = await self._server.get(
                url, {"path": self._root}, max_bytes=_LISTING_BYTES, seconds=LISTING_SECONDS
            )
        except RegistryError as error:
            raise LoadError("fetch", f"GET {url}, the listing: {error}") from error
        if status != HTTPStatus.OK:
            raise LoadError("fetch", f"GET {url}, the listing, answers HTTP {status}")
        return content.decode(errors="replace")

    def _why(self, status: int) -> str:
        """Which permission is missing: MLflow requires READ on the files' experiment."""
        if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return ""
        found = re.match(r"(?:workspaces/[^/]+/)?(\d+)/", self._root)
        experiment = f"the experiment {found[1]}" if found else "the experiment of the run"
        return (
            f": {self._server.user} needs READ on {experiment}, whose artifacts these are; "
            "READ on the registered model is not enough"
        )


class StoredFiles:
    """Files in a local folder, or in an object store through fsspec's drivers."""

    def __init__(
        self, uri: str, driver: str, extra: str = "", options: Mapping[str, Any] | None = None
    ) -> None:
        """`driver` is fsspec's name of the driver, `options` are its arguments."""
        self._uri = uri.rstrip("/")
        self._driver = driver
        self._extra = extra
        self._options = options or {}

    async def read(self, path: str, max_bytes: int) -> bytes:
        """As ArtifactFiles.read."""
        file = await _STORES.run(self._open, checked(path))
        with contextlib.closing(file):
            return await _gather(self._chunks(file, path), path, max_bytes)

    async def listing(self) -> str:
        """As ArtifactFiles.listing: all the store's details of each file, including times."""
        try:
            async with asyncio.timeout(LISTING_SECONDS):
                return await _STORES.run(self._list)
        except TimeoutError as error:
            reason = f"cannot list {self._uri}: no answer in {LISTING_SECONDS:g} s"
            raise LoadError("fetch", reason) from error

    def _list(self) -> str:
        try:
            store, root = self._store()
            return repr(sorted(sorted(each.items()) for each in store.ls(root, detail=True)))
        except Exception as error:  # every driver raises errors of its own
            raise self._fault(f"cannot list {self._uri}", error) from error

    def _open(self, path: str) -> Any:
        try:
            store, root = self._store()
            return store.open(f"{root}/{path}", "rb")
        except Exception as error:  # every driver raises errors of its own
            raise self._fault(f"cannot read {self._uri}/{path}", error) from error

    def _store(self) -> tuple[Any, str]:
        """The driver, and the folder's path in the driver's form."""
        # Imported here, because versions behind the artifact proxy do not need it.
        import fsspec

        # Not fsspec.open, which reads `::` in an address as a chain of file systems.
        kind = fsspec.get_filesystem_class(self._driver)
        options = {**kind._get_kwargs_from_urls(self._uri), **self._options}  # noqa: SLF001
        return kind(**options), kind._strip_protocol(self._uri).rstrip("/")  # noqa: SLF001

    async def _chunks(self, file: Any, path: str) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await _STORES.run(file.read, _CHUNK)
            except LoadError:
                raise
            except Exception as error:
                raise self._fault(f"cannot read {self._uri}/{path}", error) from error
            if not chunk:
                return
            yield chunk

    def _fault(self, what: str, error: Exception) -> LoadError:
        # ValueError: fsspec does not know some drivers until they are installed.
        missing = self._extra and isinstance(error, (ImportError, ValueError))
        hint = f"; install mlflow-hotswap[{self._extra}]" if missing else ""
        return LoadError("fetch", f"{what}: {_in_words(error)}{hint}")


def checked(path: str) -> str:
    """A relative path inside the artifact's folder. Raises LoadError for a path outside it."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise LoadError(
            "fetch", f"the artifact names the file {path!r}, which is outside its folder"
        )
    return str(pure)


def _local(uri: str, parts: SplitResult) -> str:
    # MLflow quotes spaces in a file: URI, but not in a path.
    path = unquote(parts.path) if parts.scheme else uri
    if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
        raise LoadError("fetch", f"{uri} is not an absolute path on this machine")
    return path


def _in_words(error: Exception) -> str:
    """Describe a driver's error without its message, which may quote a request with its signature.

    The description includes S3's code, such as `NoSuchKey`, if the error or one of its causes has one.
    """
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        kind = f"{os.strerror(error.errno)} ({kind})"
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9.]{1,64}", code):
            return f"{kind}: {code}"
        if cause is not error and cause.__cause__ is None and cause.__context__ is None:
            return f"{kind}: {type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return kind


def _too_large(path: str) -> LoadError:
    return LoadError(
        "fetch", f"{path} exceeds the limit on a version's files (PREDICTOR_MAX_MODEL_BYTES)"
    )


async def _gather(chunks: AsyncIterator[bytes], path: str, max_bytes: int) -> bytes:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > max_bytes:
            raise _too_large(path)
    return bytes(content)
