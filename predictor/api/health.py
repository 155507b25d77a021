"""`/health`, `/ready`, `/model` and `/metrics`: what ops and orchestrators ask."""

import time
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from predictor.bulletin import identity, iso
from predictor.http.headers import NO_STORE
from predictor.openapi.operations import answers_with
from predictor.reconciler import Reconciler
from predictor.servable import Servable
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
        "/model",
        operation_id="model",
        summary="Which version serves, and which should",
        responses=answers_with("Model"),
    )
    async def model() -> Response:
        """What serves, what should, the last failed load, and the age of the registry's last word."""
        return _json(describe(service.reconciler, service.settings.model_uri))

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


def describe(reconciler: Reconciler, model_uri: str) -> dict[str, Any]:
    """The body of `GET /model`."""
    known, failure = reconciler.knowledge, reconciler.failure
    return {
        "model_uri": model_uri,
        "serving": _serving(reconciler.serving) if reconciler.serving else None,
        "aspired": identity(known.aspired) if known.aspired else None,
        "loading": identity(reconciler.loading) if reconciler.loading else None,
        "last_failure": {
            **identity(failure.version),
            "stage": failure.stage,
            "reason": failure.reason,
            "attempts": failure.attempts,
            "failed_at": iso(failure.failed_at),
        }
        if failure
        else None,
        "cache": {"fault": reconciler.cache_fault},
        "registry": {
            "reachable": known.fault is None and known.answered_at is not None,
            "last_answer_at": iso(known.answered_at) if known.answered_at else None,
            "last_answer_age_seconds": round(time.time() - known.answered_at, 3)
            if known.answered_at
            else None,
            "fault": known.fault,
            "names_none_because": known.absence or None,
        },
    }


def _serving(servable: Servable) -> dict[str, Any]:
    signature = servable.signature
    return {
        **identity(servable.model_version),
        "digest": f"sha256:{servable.artifact.onnx_sha256}",
        "loaded_at": iso(servable.loaded_at),
        "load_seconds": round(servable.load_seconds, 4),
        "metrics": dict(servable.artifact.metrics),
        "signature": {
            "features": [
                {"name": f.name, "type": f.type, "dtype": f.dtype} for f in signature.features
            ],
            "class_labels": list(signature.class_labels),
            "positive_class": signature.positive_class,
        },
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")
