"""`/health`, `/ready` and `/metrics`: what ops and orchestrators ask."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from predictor.http.headers import NO_STORE
from predictor.openapi.operations import answers_with
from predictor.service import Service


def routes(service: Service) -> APIRouter:
    """The routes that say how the service is."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/health",
        operation_id="health",
        summary="Whether the process can answer",
        responses=answers_with("Status"),
    )
    async def health() -> Response:
        """Liveness: 200 for as long as the process answers at all, whatever it serves."""
        return _json({"status": "ok"})

    @router.get(
        "/ready",
        operation_id="ready",
        summary="Whether a version serves",
        responses=answers_with("Status", 503),
    )
    async def ready() -> Response:
        """Readiness: 200 while a version serves, else 503 with the reason."""
        version = service.reconciler.require_serving().model_version
        return _json({"status": "ok", "model_name": version.name, "model_version": version.version})

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
    )
    async def scrape() -> Response:
        """Every metric in Prometheus's text format."""
        exposition = service.exposition
        return Response(exposition.render(), headers=NO_STORE, media_type=exposition.content_type)

    return router


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")
