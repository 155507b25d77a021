"""RegistryClient: read MLflow's registry over its REST API, https://mlflow.org/docs/latest/rest-api.html.

A read that finds nothing returns None; a read that fails raises RegistryError. They must never be confused:
the first stops serving, the second must not.
"""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec

from predictor.errors import (
    RegistryError,
    RegistryInvalidResponse,
    RegistryRefused,
    RegistryUnreachable,
)
from predictor.model_version import ModelUri, ModelVersion
from predictor.registry.client import TrackingServer
from predictor.registry.freshness import PollFreshness

API = "/api/2.0/mlflow"
_MAX_SECONDS = 10
# Decoding a response blocks the event loop: 4 ms per megabyte, 2 ms for 2,000 tags. A version has a few
# tags of a few hundred bytes. A run may have thousands of parameters, but is read once per load.
_MAX_VERSION_BYTES = 1_000_000
_MAX_RUN_BYTES = 2_000_000
_MAX_OBJECTS = 2_000
_UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
# At most 18 digits, which fit the signed 64-bit integer in MLflow's database.
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
T = TypeVar("T")

Text = Annotated[str, msgspec.Meta(max_length=4096)]
# Milliseconds since the epoch, before the year 9999.
Moment = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]


class Tag(msgspec.Struct):
    """A tag of a version or of a registered model."""

    key: str
    value: str = ""


class VersionBody(msgspec.Struct):
    """The members of a version that the service reads."""

    name: Text
    version: str
    source: Text = ""
    creation_timestamp: Moment = 0
    last_updated_timestamp: Moment = 0
    run_id: Text = ""
    tags: list[Tag] = []
    current_stage: Text = ""


class OneVersion(msgspec.Struct):
    """A response with one version."""

    model_version: VersionBody


class _Latest(msgspec.Struct):
    model_versions: list[VersionBody] | None = None


class _DownloadUri(msgspec.Struct):
    artifact_uri: Text


class _Metric(msgspec.Struct):
    key: str
    value: float


class _RunData(msgspec.Struct):
    # Raw, so that the parameters beside it are skipped without creating objects.
    metrics: msgspec.Raw = msgspec.Raw(b"[]")


class _RunInfo(msgspec.Struct):
    artifact_uri: Text = ""
    experiment_id: Text = ""


class _Output(msgspec.Struct):
    model_id: Text = ""


class _RunOutputs(msgspec.Struct):
    model_outputs: list[_Output] = []


class RunBody(msgspec.Struct):
    """The members of a run that the service reads."""

    data: _RunData = msgspec.field(default_factory=_RunData)
    info: _RunInfo = msgspec.field(default_factory=_RunInfo)
    outputs: _RunOutputs = msgspec.field(default_factory=_RunOutputs)


class _Run(msgspec.Struct):
    run: RunBody


class LoggedModel(msgspec.Struct):
    """The members of a logged model of MLflow 3 that the service reads."""

    artifact_uri: Text
    name: Text = ""


class _LoggedModelBody(msgspec.Struct):
    info: LoggedModel


class _LoggedModel(msgspec.Struct):
    model: _LoggedModelBody


class _Fault(msgspec.Struct):
    error_code: str
    message: str = ""


class RegistryClient:
    """Reads from one MLflow server which version of one model should serve.

    Whatever the server sends, methods raise no error but RegistryError.
    """

    #: The parameters of a search that make it return the newest versions first.
    newest_first: Mapping[str, str] = {"order_by": "version_number DESC"}

    def __init__(
        self,
        server: TrackingServer,
        uri: ModelUri,
        *,
        seconds: float = _MAX_SECONDS,
        max_age_seconds: float = math.inf,
    ) -> None:
        """`seconds` limits each whole response, `max_age_seconds` the age of a cache's response to a poll."""
        self._server = server
        self.uri = uri
        self._seconds = seconds
        self._max_age_seconds = max_age_seconds
        self._polls = PollFreshness(max_age_seconds)
        self._polls_of_one = ("", self._polls)  # a number, and the polls about that version
        #: Why the last response named no version: MLflow's message, or ours for a stage.
        self.no_version_reason = ""

    async def aspired(self) -> ModelVersion | None:
        """The version that should serve; None if the registry names none. Raises RegistryError."""
        match self.uri.kind:
            case "stage":
                return await self._latest_in_stage()
            case "alias":
                return await self._one(
                    "/registered-models/alias", self._polls, alias=self.uri.pointer
                )
            case "version":
                return await self._one("/model-versions/get", self._polls, version=self.uri.pointer)

    async def version(self, number: str) -> ModelVersion | None:
        """A version of the model by its number; None if it does not exist. Raises RegistryError."""
        reason = self.no_version_reason  # of the last response to `aspired`
        if self._polls_of_one[0] != number:
            self._polls_of_one = (number, PollFreshness(self._max_age_seconds))
        try:
            return await self._one("/model-versions/get", self._polls_of_one[1], version=number)
        finally:
            self.no_version_reason = reason

    def expect_change(self) -> None:
        """Let the next poll pass caches on the way: the registry has just changed."""
        for polls in (self._polls, self._polls_of_one[1]):
            polls.expect_change()

    async def download_uri(self, name: str, version: str) -> str:
        """The URI of a version's files. Raises RegistryError."""
        path = "/model-versions/get-download-uri"
        found = await self._get(path, _DownloadUri, name=name, version=version)
        if found is None:
            raise RegistryInvalidResponse(
                self._url(path), f"no files are known for {name} version {version}"
            )
        return self._printable(path, found.artifact_uri)

    async def run(self, run_id: str) -> RunBody | None:
        """A run; None if it does not exist. Raises RegistryError."""
        found = await self._get("/runs/get", _Run, run_id=run_id)
        return found.run if found else None

    async def logged_model(self, model_id: str) -> LoggedModel | None:
        """A logged model of MLflow 3; None if it does not exist. Raises RegistryError."""
        if not re.fullmatch(r"m-[A-Za-z0-9]{1,64}", model_id, re.ASCII):
            return None
        found = await self._get(f"/logged-models/{model_id}", _LoggedModel)
        return found.model.info if found else None

    async def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """The finite metrics of a run; empty if the run does not exist. Raises RegistryError.

        NaN and infinity are left out, because JSON has neither.
        """
        found = await self.run(run_id) if run_id else None
        if found is None:
            return {}
        metrics = _decoded(self._url("/runs/get"), found.data.metrics, list[_Metric])
        return {m.key: m.value for m in metrics if math.isfinite(m.value)}

    async def read(self, path: str, kind: type[T], **query: str) -> T | None:
        """What a method of the API returns; None if MLflow says that it does not exist. Raises RegistryError.

        `no_version_reason` stays that of the last poll.
        """
        found, _ = await self._ask(path, query)
        return None if found is None else _decoded(self._url(path), found, kind)

    def version_of(self, path: str, version: VersionBody) -> ModelVersion:
        """A version in a response of `path`. Raises RegistryInvalidResponse for one of another model."""
        if version.name != self.uri.name or not _NUMBER.fullmatch(version.version):
            raise self._other(path, version)
        return ModelVersion(
            name=version.name,
            version=version.version,
            source=self._printable(path, version.source),
            created_ms=version.creation_timestamp,
            run_id=self._printable(path, version.run_id),
            updated_ms=version.last_updated_timestamp,
            tags={tag.key: tag.value for tag in version.tags},
        )

    async def _latest_in_stage(self) -> ModelVersion | None:
        path = "/registered-models/get-latest-versions"
        query = {"name": self.uri.name, "stages": self.uri.pointer}
        reply = await self._reply(path, query, self._polls)
        if reply is None:
            return None
        found = _decoded(self._url(path), reply, _Latest).model_versions
        if found is None and b"".join(reply.split()) != b"{}":
            # MLflow sends `{}` for an empty stage. An object with other members is not MLflow's.
            raise RegistryInvalidResponse(self._url(path), "it has no model_versions")
        if not found:
            self.no_version_reason = f"no version of {self.uri.name} is in {self.uri.pointer}"
            return None
        return self._read(path, found[0])

    async def _one(self, path: str, polls: PollFreshness, **pointer: str) -> ModelVersion | None:
        reply = await self._reply(path, {"name": self.uri.name, **pointer}, polls)
        if reply is None:
            return None
        return self._read(path, _decoded(self._url(path), reply, OneVersion).model_version)

    def _read(self, path: str, version: VersionBody) -> ModelVersion:
        # A valid response about another version would load the wrong one.
        if self.uri.kind == "version" and version.version != self.uri.pointer:
            raise self._other(path, version)
        return self.version_of(path, version)

    def _other(self, path: str, version: VersionBody) -> RegistryInvalidResponse:
        other = f"{version.name[:100]!r} version {version.version[:100]!r}"
        return RegistryInvalidResponse(self._url(path), f"asked for {self.uri}, got {other}")

    def _printable(self, path: str, text: str) -> str:
        if not text.isprintable():
            raise RegistryInvalidResponse(self._url(path), f"control characters in {text[:100]!r}")
        return text

    async def _get(self, path: str, kind: type[T], **query: str) -> T | None:
        reply = await self._reply(path, query)
        return None if reply is None else _decoded(self._url(path), reply, kind)

    async def _reply(
        self, path: str, query: Mapping[str, str], polls: PollFreshness | None = None
    ) -> bytes | None:
        """The body of a 200 response; None if MLflow says that the resource does not exist."""
        found, reason = await self._ask(path, query, polls)
        if found is None:
            self.no_version_reason = reason
        return found

    async def _ask(
        self, path: str, query: Mapping[str, str], polls: PollFreshness | None = None
    ) -> tuple[bytes | None, str]:
        """The body of a 200 response, or None and MLflow's message that the resource does not exist."""
        max_bytes = _MAX_RUN_BYTES if path == "/runs/get" else _MAX_VERSION_BYTES
        reply = await self._server.get(
            self._path(path), query, headers=polls.next_headers() if polls else None,
            max_bytes=max_bytes, seconds=self._seconds,
        )  # fmt: skip
        status, content, _ = polls.checked(self._url(path), reply) if polls else reply
        if status == HTTPStatus.OK:
            return content, ""
        return None, self._no_version_reason(path, status, content)

    def _no_version_reason(self, path: str, status: int, content: bytes) -> str:
        """MLflow's message that the resource does not exist. Raises RegistryError for other responses."""
        url, shown = self._url(path), self._server.shown
        if status == HTTPStatus.FORBIDDEN:
            raise RegistryRefused(url, status, self._permission(path))
        if status == HTTPStatus.UNAUTHORIZED:
            raise RegistryRefused(url, status)
        try:
            fault = msgspec.json.decode(content, type=_Fault)
        except _UNREADABLE:
            # The response is not MLflow's, such as a proxy's 404 page.
            fault = _Fault("", "")
        if status == HTTPStatus.NOT_FOUND and fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            return shown(fault.message)
        # For an alias that is not set, MLflow's status is 400, not 404.
        alias = "alias" in fault.message and "not found" in fault.message
        if fault.error_code == "INVALID_PARAMETER_VALUE" and alias:
            return shown(fault.message)
        message = f"HTTP {status} {shown(fault.error_code)} {shown(fault.message)}".strip()
        kind: type[RegistryError] = (
            RegistryUnreachable
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
            else RegistryInvalidResponse
        )
        raise kind(url, message)

    def _permission(self, path: str) -> str:
        """Which user needs which permission."""
        on = {
            "/runs/get": "the experiment of the run",
            "/logged-models": "the experiment of the logged model",
        }.get(path if path == "/runs/get" else path.rpartition("/")[0])
        return f"{self._server.user} needs READ on {on or f'the registered model {self.uri.name}'}"

    def _url(self, path: str) -> str:
        return self._server.named(self._path(path))

    def _path(self, path: str) -> str:
        """The path of a method of the API on the server."""
        return API + path


def _decoded(url: str, content: bytes | msgspec.Raw, kind: type[T]) -> T:
    # Counts objects; the character is rare in text.
    if kind is not _Run and bytes(content).count(b"{") > _MAX_OBJECTS:
        raise RegistryInvalidResponse(
            url, f"it has more than {_MAX_OBJECTS:,} objects, such as tags"
        )
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except _UNREADABLE as error:
        raise RegistryInvalidResponse(url, _reason(error)) from error


def _reason(error: BaseException) -> str:
    """The error in the JSON; msgspec's messages quote names of members, but no values."""
    message = str(error) if isinstance(error, msgspec.MsgspecError) else type(error).__name__
    return "".join(each if each.isprintable() else "?" for each in message[:200])
