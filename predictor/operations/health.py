"""`GET /health`, `/ready` and `/metrics`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Response
from msgspec import UNSET, UnsetType

from predictor import clock
from predictor.http.conditional import NO_STORE
from predictor.metrics.exposition import Exposition
from predictor.openapi.responses import NOTHING_SERVING, describe_responses
from predictor.openapi.schemas import DateTime, Versioned, doc
from predictor.operations.journal import iso
from predictor.reconcile.reconciler import Reconciler

_TAG_PREFIX = "transition."
_PRODUCTION = "Production"


class _Transition(msgspec.Struct):
    to: str
    when: datetime


def promoted_at(tags: Mapping[str, str]) -> float | None:
    """When the version was promoted, in seconds since the epoch; None if its tags do not say so.

    MLflow keeps no such date. Our trainer writes a tag for each transition, `transition.20261123T120102123456Z`,
    with the JSON `{"to": …, "when": …}`. The last one counts, if it was to Production.
    """
    found = [
        transition
        for key, value in tags.items()
        if key.startswith(_TAG_PREFIX) and (transition := _read(value))
    ]
    last = max(found, key=lambda each: each.when, default=None)
    return last.when.timestamp() if last and last.to == _PRODUCTION else None


def _read(value: str) -> _Transition | None:
    try:
        transition = msgspec.json.decode(value, type=_Transition)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # any client can set a tag of this name
    if transition.when.tzinfo is None:
        transition.when = transition.when.replace(tzinfo=UTC)
    return transition


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Versioned, frozen=True):
    """The serving version."""

    status: Literal["ok"]
    serving_since: Annotated[DateTime, doc("When it started to serve, in this process.")]
    promoted_at: (
        Annotated[DateTime, doc("When it was promoted, if a tag of the version says so.")]
        | UnsetType
    ) = UNSET


def routes(reconciler: Reconciler, exposition: Exposition) -> APIRouter:
    """The routes of health, readiness and metrics."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/health",
        operation_id="get_health",
        summary="Whether the process responds",
        responses=describe_responses(Health, description="The process responds."),
    )
    async def health() -> Response:
        """Liveness: 200 while the process responds, even if no version serves."""
        return _json(Health("ok"))

    @router.get(
        "/ready",
        operation_id="get_readiness",
        summary="Whether a version serves",
        responses=describe_responses(Readiness, NOTHING_SERVING, description="A version serves."),
    )
    async def ready() -> Response:
        """Readiness: 200 while a version serves, else 503 with the reason."""
        return _json(_readiness(reconciler))

    @router.get(
        "/metrics",
        operation_id="get_metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={
            200: {
                "description": "All metrics.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def scrape() -> Response:
        """Every metric in Prometheus's text format."""
        return Response(exposition.render(), headers=NO_STORE, media_type=exposition.content_type)

    return router


def _readiness(reconciler: Reconciler) -> Readiness:
    """The version that serves. Raises NothingServing."""
    servable = reconciler.require_serving()
    version, aspired = servable.model_version, reconciler.registry_status.aspired
    # The tag is written after the promotion: the version may have been loaded without it.
    tags = aspired.tags if aspired == version and aspired else version.tags
    promoted = promoted_at(tags)
    return Readiness(
        version.name,
        version.version,
        "ok",
        iso(clock.wall(servable.loaded_at)),
        UNSET if promoted is None else iso(promoted),
    )


def _json(body: Health | Readiness) -> Response:
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")
