"""`GET /health`, `/ready` and `/metrics`."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Response
from msgspec import UNSET, UnsetType

from predictor import clock
from predictor.http.conditional import NO_STORE
from predictor.metrics.exposition import Exposition
from predictor.model_version import ModelUri
from predictor.openapi.responses import NOTHING_SERVING, describe_responses
from predictor.openapi.schemas import DateTime, Versioned, doc
from predictor.operations.journal import iso
from predictor.operations.transitions import promoted_at
from predictor.reconcile.reconciler import Reconciler


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Versioned, frozen=True):
    """The serving version."""

    status: Literal["ok"]
    serving_since: Annotated[DateTime, doc("When it started to serve, in this process.")]
    promoted_at: (
        Annotated[
            DateTime,
            doc(
                "When the trainer promoted it, by a tag of the version. Absent if MLflow has changed its stage or "
                "description since; whether an alias was moved since, MLflow does not say."
            ),
        ]
        | UnsetType
    ) = UNSET


def routes(reconciler: Reconciler, exposition: Exposition, uri: ModelUri) -> APIRouter:
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
        return _json(_readiness(reconciler, uri))

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


def _readiness(reconciler: Reconciler, uri: ModelUri) -> Readiness:
    """The version that serves. Raises NothingServing."""
    servable = reconciler.require_serving()
    version = reconciler.as_registered(servable.model_version)
    promoted = promoted_at(version, uri)
    return Readiness(
        version.name,
        version.version,
        "ok",
        iso(clock.wall(servable.loaded_at)),
        UNSET if promoted is None else iso(promoted),
    )


def _json(body: Health | Readiness) -> Response:
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")
