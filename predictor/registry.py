"""What MLflow's registry says, over its REST API: https://mlflow.org/docs/latest/rest-api.html.

Only here is the registry asked. A read that finds nothing is an answer (None); a read that fails
is a RegistryError. The two must never be mixed up: the first stops the service, the second must not.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import TypeVar

import httpx
import msgspec

from predictor.errors import RegistryError, RegistryNonsense, RegistryRefused, RegistryUnreachable
from predictor.model_uri import ModelUri
from predictor.model_version import ModelVersion

_API = "/api/2.0/mlflow"
_SECONDS_IN_ALL = 10
_MOST_BYTES = 16_000_000  # a run with thousands of parameters has a tenth of it
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
T = TypeVar("T")


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Version(msgspec.Struct):
    name: str
    version: str
    source: str = ""
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    run_id: str = ""
    tags: list[_Tag] = []


class _OneVersion(msgspec.Struct):
    model_version: _Version


class _DownloadUri(msgspec.Struct):
    artifact_uri: str


class _Metric(msgspec.Struct):
    key: str
    value: float


class _RunData(msgspec.Struct):
    metrics: list[_Metric] = []


class _RunBody(msgspec.Struct):
    data: _RunData


class _Run(msgspec.Struct):
    run: _RunBody


class _Fault(msgspec.Struct):
    error_code: str
    message: str = ""


class Registry:
    """Asks one MLflow server which version of one model should serve."""

    def __init__(
        self, client: httpx.AsyncClient, uri: ModelUri, *, seconds: float = _SECONDS_IN_ALL
    ) -> None:
        """Each question has `seconds` for its whole answer."""
        self._client = client
        # Errors name it, and everyone may read them: a password in it stays out.
        self._address = str(client.base_url.copy_with(userinfo=b"")).rstrip("/")
        self._uri = uri
        self._seconds = seconds
        #: Why the last answer named no version, for people: MLflow's words, or ours for a stage.
        self.absence = ""

    async def aspired(self) -> ModelVersion | None:
        """The version that should serve, or None where the registry names none.

        Raises RegistryError where the registry gave no usable answer.
        """
        match self._uri.kind:
            case "stage":
                return await self._latest_in_stage()
            case "alias":
                return await self._one("/registered-models/alias", alias=self._uri.pointer)
            case "version":
                return await self._one("/model-versions/get", version=self._uri.pointer)

    async def download_uri(self, version: ModelVersion) -> str:
        """Where the files of a version are. Raises RegistryError."""
        found = await self._get(
            "/model-versions/get-download-uri",
            _DownloadUri,
            name=version.name,
            version=version.version,
        )
        if found is None:
            raise RegistryNonsense(self._address, f"no files are known for {version}")
        return found.artifact_uri

    async def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """The finite metrics of a run; empty where there is no such run. Raises RegistryError.

        JSON has no NaN, neither in the cache nor in an answer to people.
        """
        found = await self._get("/runs/get", _Run, run_id=run_id) if run_id else None
        metrics = found.run.data.metrics if found else ()
        return {m.key: m.value for m in metrics if math.isfinite(m.value)}

    async def _latest_in_stage(self) -> ModelVersion | None:
        path = "/registered-models/get-latest-versions"
        found = await self._get(
            path, dict[str, msgspec.Raw], name=self._uri.name, stages=self._uri.pointer
        )
        # MLflow says `{}` for an empty stage. An object of other things is not MLflow's.
        if found == {}:
            self.absence = f"no version of {self._uri.name} is in {self._uri.pointer}"
        if not found:
            return None
        if "model_versions" not in found:
            raise RegistryNonsense(self._url(path), f"it only has {', '.join(sorted(found))[:100]}")
        versions = _decoded(self._url(path), found["model_versions"], list[_Version])
        return self._read(versions[0]) if versions else None

    async def _one(self, path: str, **pointer: str) -> ModelVersion | None:
        found = await self._get(path, _OneVersion, name=self._uri.name, **pointer)
        return self._read(found.model_version) if found else None

    def _read(self, version: _Version) -> ModelVersion:
        # A right answer about another model would be the wrong model.
        if version.name != self._uri.name or not version.version.isdecimal():
            raise RegistryNonsense(
                self._address,
                f"asked for {self._uri}, told of {version.name!r} version {version.version!r}",
            )
        return ModelVersion(
            name=version.name,
            version=version.version,
            source=version.source,
            created_ms=version.creation_timestamp,
            run_id=version.run_id,
            updated_ms=version.last_updated_timestamp,
            tags={tag.key: tag.value for tag in version.tags},
        )

    async def _get(self, path: str, kind: type[T], **query: str) -> T | None:
        url = self._url(path)
        try:
            # The client's own limits are for each step; a server that sends a byte a second
            # keeps every one of them.
            async with asyncio.timeout(self._seconds):
                status, content = await self._read_all(url, _API + path, query)
        except (httpx.HTTPError, TimeoutError) as error:
            raise RegistryUnreachable(url, str(error) or type(error).__name__) from error
        if status == httpx.codes.OK:
            return _decoded(url, content, kind)
        self.absence = _absence(url, status, content)
        return None

    async def _read_all(
        self, url: str, path: str, query: Mapping[str, str]
    ) -> tuple[int, bytes | bytearray]:
        """Status and body. Raises RegistryNonsense for a body that no registry needs to send."""
        content = bytearray()
        async with self._client.stream("GET", path, params=query) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise RegistryNonsense(url, f"it is larger than {_MOST_BYTES:,} bytes")
        return response.status_code, content

    def _url(self, path: str) -> str:
        return self._address + _API + path


def _decoded(url: str, content: bytes | bytearray | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except _UNREADABLE as error:
        raise RegistryNonsense(url, str(error)) from error


def _absence(url: str, status: int, content: bytes | bytearray) -> str:
    """MLflow's own words where it says that there is no such thing; raises RegistryError otherwise."""
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise RegistryRefused(url, status)
    try:
        fault = msgspec.json.decode(content, type=_Fault)
    except _UNREADABLE:
        # A proxy's own 404, or a page: whoever wrote it does not speak for the registry.
        fault = _Fault("", "")
    if status == httpx.codes.NOT_FOUND and fault.error_code == "RESOURCE_DOES_NOT_EXIST":
        return fault.message
    # MLflow answers 400, not 404, for an alias that is not set.
    if (
        fault.error_code == "INVALID_PARAMETER_VALUE"
        and "alias" in fault.message
        and "not found" in fault.message
    ):
        return fault.message
    said = f"HTTP {status} {fault.error_code} {fault.message}".strip()
    kind: type[RegistryError] = (
        RegistryUnreachable if status >= httpx.codes.INTERNAL_SERVER_ERROR else RegistryNonsense
    )
    raise kind(url, said)
