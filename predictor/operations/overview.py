"""`GET /ops/overview`: what the page for operators shows beside `/model`, `/events` and `/metrics`."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec
from fastapi import APIRouter, Response

from approvals.statement import APPROVAL_TAG
from predictor import clock
from predictor.errors import FleetError, RegistryError
from predictor.http.conditional import NO_STORE
from predictor.metrics import worker_state
from predictor.metrics.counts import Counts
from predictor.model_version import Listed, Listing, ModelUri, ModelVersion
from predictor.openapi.responses import describe_responses
from predictor.openapi.schemas import DateTime, doc
from predictor.operations.journal import iso
from predictor.operations.transitions import is_changed_since, last_transition, pointer_of
from predictor.reconcile.reconciler import Reconciler

KEEP_SECONDS = 5.0
"""How long a response of the registry or of NATS is used again: ten open pages cost no more than one."""
_MAX_TEXT = 500  # characters of a tag or an alias; everybody who may edit the model can write one
_MAX_CHECKS = 20
T = TypeVar("T")


class Move(msgspec.Struct, frozen=True):
    """The trainer's last transition of a version, by a tag. Its signature is not checked here."""

    to: Annotated[str, doc("`Production`, `Staging`, `Archived` or `None`.")]
    when: DateTime
    who: str
    why: str
    checks: Annotated[list[str], doc("The findings of the gates.")]
    changed_at: Annotated[
        DateTime | None,
        doc(
            "When MLflow changed the stage or the description of the version, if that was after this transition. "
            "Null for an alias: MLflow keeps no time of its moves."
        ),
    ]


class OverviewVersion(msgspec.Struct, frozen=True):
    """A version as the registry has it."""

    model_version: str
    run_id: str
    created_at: Annotated[DateTime | None, doc("When it was registered.")]
    stage: Annotated[str | None, doc("MLflow's stage; null where there is none.")]
    aliases: list[str]
    candidate: Annotated[str | None, doc("The tag `candidate`: the kind of model.")]
    parity: Annotated[str | None, doc("The tag `parity`: `passed`, or null if it was not proven.")]
    dataset_digest: Annotated[
        str | None, doc("The tag `dataset_digest`: the data on which its metrics were measured.")
    ]
    statements: Annotated[
        int, doc("Approvals and withdrawals in its tags. Whether they count, `GET /model` says.")
    ]
    moved: Annotated[
        Move | None, doc("Its last transition by the pointer that the service follows.")
    ]


class OverviewVersions(msgspec.Struct, frozen=True):
    """The newest versions of the model, and older ones that have a stage or an alias, serve, or should serve."""

    read_at: Annotated[DateTime | None, doc("When the registry listed them; null for never.")]
    fault: Annotated[str | None, doc("Why they could not be read again since.")]
    more: Annotated[bool, doc("Whether the registry has others.")]
    gates: Annotated[
        dict[str, str], doc("Which metrics decide a promotion: name and tolerance, by tags.")
    ]
    versions: Annotated[list[OverviewVersion], doc("The highest number first.")]


class OverviewWorker(msgspec.Struct, frozen=True):
    """One process of this service."""

    worker: int
    pid: Annotated[int | None, doc("Null while it accepts no requests.")]
    model_version: Annotated[str | None, doc("The version that it serves.")]
    digest: Annotated[str | None, doc("Digest of its ONNX graph: `sha256:` and 64 hex digits.")]
    serving_since: DateTime | None
    desired: Annotated[str | None, doc("The version that the registry named to it.")]
    registry_answered_at: DateTime | None
    failed: Annotated[str | None, doc("The version that it could not load.")]
    starts: Annotated[int, doc("How many processes have had its place.")]
    event_streams: int


class OverviewReplica(msgspec.Struct, frozen=True):
    """The status of a process of any service of this model, as it wrote it to NATS."""

    replica: str
    serves: str | None
    desired: str | None
    fault: str | None
    written_at: str


class OverviewReplicas(msgspec.Struct, frozen=True):
    """Those that reported within the last minute."""

    read_at: Annotated[DateTime | None, doc("When they were read; null for never.")]
    fault: Annotated[str | None, doc("Why they could not be read again since.")]
    more: Annotated[bool, doc("Whether there are others.")]
    replicas: list[OverviewReplica]


class Overview(msgspec.Struct, frozen=True):
    """Processes and versions."""

    worker: Annotated[int, doc("The number of the worker that answers.")]
    at: Annotated[DateTime, doc("The service's clock.")]
    serving: Annotated[
        Move | None, doc("The last transition of the serving version, as far as the service knows.")
    ]
    desired: Annotated[Move | None, doc("The same of the version that the registry names.")]
    workers: list[OverviewWorker]
    replicas: Annotated[OverviewReplicas | None, doc("Null without PREDICTOR_NATS_URL.")]
    registered: OverviewVersions


class ListsReplicas(Protocol):
    """The part of `predictor.fleet` that this route reads; that room is optional."""

    async def replicas(self) -> tuple[Sequence[Mapping[str, Any]], bool]:
        """The statuses of the model's replicas, and whether there are more. Raises FleetError."""


@dataclass(frozen=True)
class OverviewParts:
    """What the route reads. `blocks` are the counts of all workers by number, `worker` is its own number."""

    reconciler: Reconciler
    uri: ModelUri
    list_versions: Callable[[Sequence[str]], Awaitable[Listing]]
    fleet: ListsReplicas | None
    worker: int
    blocks: Sequence[Counts]


def routes(parts: OverviewParts) -> APIRouter:
    """The route of `GET /ops/overview`."""
    router = APIRouter(tags=["operations"])
    versions = _Kept(lambda: parts.list_versions(_named(parts.reconciler)), RegistryError)
    fleet = parts.fleet
    replicas = _Kept(fleet.replicas, FleetError) if fleet is not None else None

    @router.get(
        "/ops/overview",
        operation_id="get_overview",
        summary="Workers, replicas and registered versions",
        responses=describe_responses(Overview, description="Processes and versions."),
    )
    async def overview() -> Response:
        """The workers of this service, the replicas if there is a fleet, and the model's versions in the registry.

        The registry is asked at most every five seconds. While it cannot be reached, the versions are those of its
        last response, with its time and the fault.
        """
        await asyncio.gather(versions.refresh(), *([replicas.refresh()] if replicas else []))
        body = _overview(parts, versions, replicas)
        return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")

    return router


class _Kept(Generic[T]):
    """The last value that was read, when, and why it could not be read again since.

    Callers at the same time share a read, and it goes on for the others if one of them disconnects.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], error: type[Exception]) -> None:
        self._read = read
        self._error = error
        self._reading: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        self.value: T | None = None
        self.read_at: str | None = None
        self.fault: str | None = None

    async def refresh(self) -> None:
        """Read the value, unless that was tried a moment ago."""
        if self._reading is None or self._reading.done():
            if self._asked_at is not None and clock.now() - self._asked_at < KEEP_SECONDS:
                return
            self._reading = asyncio.create_task(self._try())
        await asyncio.shield(self._reading)

    async def _try(self) -> None:
        try:
            self.value = await self._read()
        except self._error as error:
            self.fault = str(error)
        else:
            self.read_at, self.fault = iso(time.time()), None
        self._asked_at = clock.now()


def _named(reconciler: Reconciler) -> list[str]:
    """The numbers of the versions that must be in a listing."""
    serving, desired = reconciler.serving, reconciler.registry_status.aspired
    found = [serving.model_version if serving else None, desired]
    return [each.version for each in found if each]


def _overview(
    parts: OverviewParts,
    versions: _Kept[Listing],
    replicas: _Kept[tuple[Sequence[Mapping[str, Any]], bool]] | None,
) -> Overview:
    pointer = pointer_of(parts.uri)
    serving, desired = parts.reconciler.serving, parts.reconciler.registry_status.aspired
    newest = parts.reconciler.as_registered(serving.model_version) if serving else None
    return Overview(
        worker=parts.worker,
        at=iso(time.time()),
        serving=_moved(newest, pointer),
        desired=_moved(desired, pointer),
        workers=[
            _worker(number, block, own=number == parts.worker)
            for number, block in enumerate(parts.blocks)
        ],
        replicas=_replicas(replicas) if replicas else None,
        registered=_versions(versions, pointer),
    )


def _moved(version: ModelVersion | None, pointer: str) -> Move | None:
    last = last_transition(version, pointer) if version else None
    if version is None or last is None:
        return None
    checks = [_short(each) for each in last.checks[:_MAX_CHECKS]]
    when = last.when.isoformat(timespec="milliseconds")
    changed = is_changed_since(version, last) and version.updated_ms
    changed_at = iso(version.updated_ms / 1000) if changed else None
    return Move(_short(last.to), when, _short(last.who), _short(last.why), checks, changed_at)


def _worker(number: int, block: Counts, *, own: bool) -> OverviewWorker:
    # The only process of a service counts no starts.
    pid = os.getpid() if own else worker_state.pid(block)
    status = worker_state.status(block)
    identity = status.identity
    return OverviewWorker(
        worker=number,
        pid=pid or None,
        model_version=identity[1] if identity else None,
        digest=f"sha256:{identity[3]}" if identity else None,
        serving_since=_moment(status.since),
        desired=str(status.aspired) if status.aspired else None,
        registry_answered_at=_moment(status.answered_at),
        failed=str(status.failed) if status.failed else None,
        starts=max(worker_state.starts(block), int(own)),
        event_streams=status.streams,
    )


def _replicas(kept: _Kept[tuple[Sequence[Mapping[str, Any]], bool]]) -> OverviewReplicas:
    found, more = kept.value or ((), False)
    listed = [
        OverviewReplica(
            str(each["replica"]), each["serves"], each["desired"], each["fault"], each["written_at"]
        )
        for each in found
    ]
    return OverviewReplicas(kept.read_at, kept.fault, more, listed)


def _versions(kept: _Kept[Listing], pointer: str) -> OverviewVersions:
    listing = kept.value or Listing((), {}, {}, more=False)
    aliases: dict[str, list[str]] = {}
    for alias, number in listing.aliases.items():
        aliases.setdefault(number, []).append(_short(alias))
    return OverviewVersions(
        read_at=kept.read_at,
        fault=kept.fault,
        more=listing.more,
        gates={
            _short(key.removeprefix("gate.")): _short(value)
            for key, value in listing.tags.items()
            if key.startswith("gate.")
        },
        versions=[
            _version(each, sorted(aliases.get(each.version.version, [])), pointer)
            for each in listing.versions
        ],
    )


def _version(listed: Listed, aliases: list[str], pointer: str) -> OverviewVersion:
    version, tags = listed.version, listed.version.tags
    return OverviewVersion(
        model_version=version.version,
        run_id=version.run_id,
        created_at=iso(version.created_ms / 1000) if version.created_ms else None,
        stage=listed.stage if listed.stage not in ("", "None") else None,
        aliases=aliases,
        candidate=_tag(tags, "candidate"),
        parity=_tag(tags, "parity"),
        dataset_digest=_tag(tags, "dataset_digest"),
        statements=sum(key.startswith(APPROVAL_TAG) for key in tags),
        moved=_moved(version, pointer),
    )


def _tag(tags: Mapping[str, str], key: str) -> str | None:
    return _short(tags[key]) if key in tags else None


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _moment(moment: float) -> str | None:
    """A moment of `clock.now` as ISO 8601; None for never."""
    return iso(clock.wall(moment)) if moment else None
