"""`GET /model`: which version serves, and which should; for who asks again and again, too."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from predictor import clock
from predictor.bulletin import identity, iso
from predictor.http.conditional import Seen, answer
from predictor.http.headers import NO_CACHE
from predictor.openapi.operations import ASKED_AGAIN, NOT_MODIFIED, answers_with
from predictor.servable import Servable
from predictor.service import Service
from predictor.signature import Port, Signature

_VOLATILE = {"last_answer_at", "last_answer_age_seconds"}  # of `registry`: other at each poll


def routes(service: Service) -> APIRouter:
    """The route that says which version serves."""
    router = APIRouter(tags=["operations"])
    seen = Seen()

    @router.get(
        "/model",
        operation_id="get_model",
        summary="Which version serves, and which should",
        openapi_extra=ASKED_AGAIN,
        responses=answers_with("Model", says="What serves, and what should.") | NOT_MODIFIED,
    )
    async def model(request: Request) -> Response:
        """What serves, what should, the last failed load, and the age of the registry's last word."""
        said = describe(service)
        validator = seen.as_it_is(msgspec.json.encode(_lasting(said)))
        return answer(request, validator, msgspec.json.encode(said), "application/json", NO_CACHE)

    return router


def _lasting(said: dict[str, Any]) -> dict[str, Any]:
    """What is the same until something happens: all but when the registry last answered."""
    registry = {name: each for name, each in said["registry"].items() if name not in _VOLATILE}
    return {**said, "registry": registry}


def describe(service: Service) -> dict[str, Any]:
    """The body of `GET /model`."""
    reconciler, settings = service.reconciler, service.settings
    known, failure = reconciler.knowledge, reconciler.failure
    return {
        "model_uri": settings.model_uri,
        "workspace": settings.workspace or None,
        "serving": _serving(reconciler.serving) if reconciler.serving else None,
        "aspired": identity(known.aspired) if known.aspired else None,
        "loading": identity(reconciler.loading) if reconciler.loading else None,
        "last_failure": {
            **identity(failure.version),
            "stage": failure.stage,
            "reason": failure.reason,
            "attempts": failure.attempts,
            "failed_at": iso(clock.wall(failure.failed_at)),
        }
        if failure
        else None,
        "cache": {"fault": reconciler.cache_fault},
        "registry": {
            "reachable": known.fault is None and known.answered_at is not None,
            "last_answer_at": iso(clock.wall(known.answered_at)) if known.answered_at else None,
            "last_answer_age_seconds": round(clock.now() - known.answered_at, 3)
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
        "loaded_at": iso(clock.wall(servable.loaded_at)),
        "load_seconds": round(servable.load_seconds, 4),
        "metrics": dict(servable.artifact.metrics),
        "signature": {
            "features": [
                {"name": f.name, "type": f.type, "dtype": f.dtype, "required": f.required}
                for f in signature.features
            ],
            "ignored": list(signature.ignored),
            "class_labels": list(signature.class_labels),
            "positive_class": signature.positive_class,
            "outputs": [_output(signature, port) for port in signature.results],
            "hints": list(signature.hints),
        },
    }


def _output(signature: Signature, port: Port) -> dict[str, Any]:
    """One output of the graph: `role` is where responses have it, and `omitted_because` why none does."""
    read = signature.outputs
    roles: dict[str | None, str] = {
        read.label: "prediction",
        read.probabilities: "probabilities",
        read.value: "prediction",
        **{extra.name: "outputs" for extra in read.extra},
    }
    return {
        "name": port.name,
        "type": port.type,
        "shape": list(port.shape),
        "role": roles.get(port.name),
        "omitted_because": dict(read.omitted).get(port.name),
    }
