"""`GET /model`: which version serves, and which should; for who asks again and again, too."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from predictor import clock
from predictor.errors import INFERENCE, LOAD_STAGES
from predictor.http.conditional import NO_CACHE, Seen, answer
from predictor.model.servable import Servable
from predictor.model.signature import Port, Signature
from predictor.openapi.operations import ASKED_AGAIN, NOT_MODIFIED, answers_with, ref
from predictor.openapi.schemas import VERSION, Schema, an_object, number, or_null, text
from predictor.operations.journal import identity, iso
from predictor.parts import Service

_MOMENT = {"format": "date-time"}
_RUN = {**VERSION, "run_id": text("The MLflow run that logged it; empty where there was none.")}
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}

SERVED: dict[str, Schema] = {
    "ModelVersion": an_object(_RUN, "A version of a registered model."),
    "ServingVersion": an_object(
        {
            **_RUN,
            "digest": text("Digest of the ONNX graph that serves: `sha256:` and 64 hex digits."),
            "loaded_at": text("When it was ready to serve.", **_MOMENT),
            "load_seconds": number("How long it took to build and try it."),
            "metrics": {**_NUMBERS, "description": "The run's metrics, by name."},
            "signature": ref("ServingSignature"),
        },
        "The version that answers requests.",
    ),
    "ServingSignature": an_object(
        {
            "features": {"type": "array", "items": ref("ServingFeature")},
            "ignored": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Columns of MLflow's signature that may be sent and are ignored.",
            },
            "class_labels": {
                "type": "array",
                "items": {"anyOf": [{"type": kind} for kind in ("string", "integer", "boolean")]},
                "description": "In the order of the model's probabilities; empty for a regressor.",
            },
            "positive_class": or_null({"type": "string"}, "The class that is looked for."),
            "outputs": {"type": "array", "items": ref("ServingOutput")},
            "hints": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What the graph's metadata could add.",
            },
        },
        "What the version takes and gives.",
    ),
    "ServingOutput": an_object(
        {
            "name": text(),
            "type": text("ONNX Runtime's, such as `tensor(float)`."),
            "shape": {
                "type": "array",
                "items": {"type": ["integer", "null"]},
                "description": "Null for the rows, and for a dimension that varies; empty where it has none.",
            },
            "role": or_null(
                text(enum=["prediction", "probabilities", "outputs"]),
                "The member of a prediction that has it; null for an output that none has.",
            ),
            "omitted_because": or_null({"type": "string"}, "Why no prediction has it."),
        },
        "One output of the graph.",
    ),
    "ServingFeature": an_object(
        {
            "name": text(),
            "type": text("Its JSON type.", enum=["number", "integer", "boolean", "string"]),
            "dtype": text("What the graph computes with, such as `float32`."),
            "required": {"type": "boolean", "description": "False where it may be missing."},
        },
        "One value of a record.",
    ),
    "FailedVersion": an_object(
        {
            **_RUN,
            "stage": text("How far it came; `inference` for one that serves and had to be stopped.", enum=[*LOAD_STAGES, INFERENCE]),
            "reason": text("What went wrong."),
            "attempts": {"type": "integer", "description": "How often that happened."},
            "failed_at": text("When it last happened.", **_MOMENT),
        },
        "A version that could not be made ready and is tried again, or that took too long to answer.",
    ),
    "Cache": an_object(
        {
            "fault": or_null(
                {"type": "string"},
                "Why what serves could not be written down for a start without the registry.",
            )
        },
        "Where versions are kept on disk.",
    ),
    "RegistryState": an_object(
        {
            "reachable": {"type": "boolean", "description": "Whether the last question got an answer."},
            "last_answer_at": or_null(text(**_MOMENT), "When it last answered."),
            "last_answer_age_seconds": or_null({"type": "number"}, "How long ago that is."),
            "fault": or_null({"type": "string"}, "Why the last question got no usable answer."),
            "names_none_because": or_null(
                {"type": "string"}, "Why its last answer named no version."
            ),
        },
        "What is known of MLflow's registry.",
    ),
    "Model": an_object(
        {
            "model_uri": text("What the service follows, such as `models:/NAME/Production`."),
            "workspace": or_null({"type": "string"}, "The MLflow workspace that it is in, if one is set."),
            "serving": or_null(ref("ServingVersion"), "What answers requests; null for nothing."),
            "desired": or_null(ref("ModelVersion"), "The version that the registry names."),
            "aspired": {
                **or_null(ref("ModelVersion"), "Use `desired`: this is removed in the next release."),
                "deprecated": True,
            },
            "loading": or_null(ref("ModelVersion"), "What is being made ready."),
            "last_failure": or_null(ref("FailedVersion"), "What should serve and could not be loaded."),
            "cache": ref("Cache"),
            "registry": ref("RegistryState"),
        },
        "What serves, and what should.",
    ),
}  # fmt: skip


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
    desired = identity(known.aspired) if known.aspired else None
    return {
        "model_uri": settings.model_uri,
        "workspace": settings.workspace or None,
        "serving": _serving(reconciler.serving) if reconciler.serving else None,
        "desired": desired,
        "aspired": desired,
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
