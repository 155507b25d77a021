"""`POST /predict`, `/predict/batch` and `/predict/what-if`: records in, predictions out."""

from functools import partial

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from predictor.errors import BodyTooLarge, FieldError, InferenceTimeout, InvalidRecord, Overloaded
from predictor.http.body import check_json, read_json_body
from predictor.http.conditional import NO_STORE
from predictor.http.inference_routes import InferenceRoute, RequestHead
from predictor.inference.batcher import Batcher
from predictor.inference.compute import compute_one
from predictor.openapi.responses import NOTHING_SERVING, describe_request, describe_responses
from predictor.protocols.predict.records import OneRecord, Records
from predictor.settings import Settings

_WARNINGS = {
    "name": "warnings",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether predictions carry `warnings` of values outside the training data.",
}


_ONE, _MANY, _MANY_WITH_WARNINGS = OneRecord(), Records(), Records(warn=True)


def inference_routes(settings: Settings) -> list[InferenceRoute]:
    """`/predict` and `/predict/batch`."""
    too_large = BodyTooLarge(settings.max_body_bytes)
    too_long = InferenceTimeout(settings.inference_seconds)
    return [
        InferenceRoute(
            "/predict",
            _choose_one,
            description={
                "tags": ["predictions"],
                "operation_id": "predict",
                "summary": "Predict one record",
                "description": "One record with every feature by name; the answer names the version "
                "that computed it.",
                "openapi_extra": describe_request("Record"),
                "responses": describe_responses(
                    "Prediction",
                    400,
                    too_large,
                    415,
                    422,
                    NOTHING_SERVING,
                    Overloaded(settings.max_queued_rows, "requests"),
                    too_long,
                    description="The prediction for the record.",
                ),
            },
        ),
        InferenceRoute(
            "/predict/batch",
            _choose_many,
            description={
                "tags": ["predictions"],
                "operation_id": "predict_batch",
                "summary": "Predict several records",
                "description": "Several records; all answers are from one version, in the order of the "
                "records.",
                "openapi_extra": {**describe_request("Records"), "parameters": [_WARNINGS]},
                "responses": describe_responses(
                    "Predictions",
                    400,
                    too_large,
                    415,
                    422,
                    NOTHING_SERVING,
                    Overloaded(settings.max_queued_batches, "large requests"),
                    too_long,
                    description="The predictions, one for each record, in their order.",
                ),
            },
        ),
    ]


def what_if_routes(batcher: Batcher, settings: Settings) -> APIRouter:
    """`/predict/what-if`. It is no inference route: those may be computed on the event loop, and are counted."""
    router = APIRouter(tags=["predictions"])

    @router.post(
        "/predict/what-if",
        operation_id="what_if",
        summary="Try out several records",
        openapi_extra=describe_request("Records"),
        responses=describe_responses(
            "Predictions",
            400,
            BodyTooLarge(settings.max_body_bytes),
            415,
            422,
            NOTHING_SERVING,
            Overloaded(settings.max_queued_batches, "large requests"),
            InferenceTimeout(settings.inference_seconds),
            description="The predictions, one for each record, in their order.",
        ),
    )
    async def what_if(request: Request) -> Response:
        """What the model would say of values that are only tried out, with warnings.

        As `/predict/batch`, but these predictions are not counted: not in the metrics, nor in drift, nor by the
        shadow. If predictions are recorded, these are, with the protocol `what_if`.
        """
        body = await read_json_body(request, settings.max_body_bytes)
        work = partial(compute_one, _MANY_WITH_WARNINGS, body)
        answered = await batcher.compute(work, low_priority=True, hypothetical=True)
        return Response(answered, headers=NO_STORE, media_type="application/json")

    return router


def flag(query: QueryParams, name: str) -> bool:
    """Whether the query has `NAME=true`; without it, no. Raises InvalidRecord for any other value but `false`."""
    given = query.getlist(name)
    if len(given) > 1:
        raise InvalidRecord([FieldError(name, "given twice in the query")])
    if given and given[0] not in {"true", "false"}:
        raise InvalidRecord([FieldError(name, "expected true or false in the query")])
    return given == ["true"]


def _choose_one(head: RequestHead) -> OneRecord:
    check_json(head.field("content-type"), head.field("content-encoding"))
    return _ONE


def _choose_many(head: RequestHead) -> Records:
    """Raises InvalidRecord for a query that is neither `warnings=true` nor `warnings=false`."""
    warn = flag(head.query, "warnings")
    check_json(head.field("content-type"), head.field("content-encoding"))
    return _MANY_WITH_WARNINGS if warn else _MANY
