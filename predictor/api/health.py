"""`/health`, `/ready` and `/metrics`: what ops and orchestrators ask."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from predictor import clock
from predictor.bulletin import iso
from predictor.http.headers import NO_STORE
from predictor.openapi.operations import answers_with
from predictor.openapi.refusals import NOTHING_SERVING
from predictor.promotion import promoted_at
from predictor.reconciler import Reconciler
from predictor.service import Service


def routes(service: Service) -> APIRouter:
    """The routes that say how the service is."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/health",
        operation_id="get_health",
        summary="Whether the process can answer",
        responses=answers_with("Health", says="It can."),
    )
    async def health() -> Response:
        """Liveness: 200 for as long as the process answers at all, whatever it serves."""
        return _json({"status": "ok"})

    @router.get(
        "/ready",
        operation_id="get_readiness",
        summary="Whether a version serves",
        responses=answers_with("Readiness", NOTHING_SERVING, says="One does."),
    )
    async def ready() -> Response:
        """Readiness: 200 while a version serves, else 503 with the reason."""
        return _json({"status": "ok", **_standing(service.reconciler)})

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
        exposition = service.exposition
        return Response(exposition.render(), headers=NO_STORE, media_type=exposition.content_type)

    return router


def _standing(reconciler: Reconciler) -> dict[str, str]:
    """The version that serves, since when it does here and, where a tag says so, since when it should."""
    servable = reconciler.require_serving()
    version, aspired = servable.model_version, reconciler.knowledge.aspired
    # The tag comes after the promotion that it tells of, so what was loaded may not have it yet.
    tags = aspired.tags if aspired == version and aspired else version.tags
    promoted = promoted_at(tags)
    return {
        "model_name": version.name,
        "model_version": version.version,
        "serving_since": iso(clock.wall(servable.loaded_at)),
        **({"promoted_at": iso(promoted)} if promoted is not None else {}),
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")
