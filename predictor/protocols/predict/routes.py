"""`POST /predict` and `POST /predict/batch`: records in, predictions out."""

from fastapi import APIRouter, Request, Response

from predictor.errors import BodyTooLarge, FieldError, InferenceTimeout, InvalidRecord, Overloaded
from predictor.http.body import read_json_body
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import Batcher
from predictor.openapi.responses import NOTHING_SERVING, describe_request, describe_responses
from predictor.settings import Settings

_WARNINGS = {
    "name": "warnings",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether predictions carry `warnings` of values outside the training data.",
}


def routes(batcher: Batcher, settings: Settings) -> APIRouter:
    """The routes of our own prediction protocol."""
    router = APIRouter(tags=["predictions"])
    max_bytes = settings.max_body_bytes
    too_large = BodyTooLarge(max_bytes)
    too_long = InferenceTimeout(settings.inference_seconds)

    @router.post(
        "/predict",
        operation_id="predict",
        summary="Predict one record",
        openapi_extra=describe_request("Record"),
        responses=describe_responses(
            "Prediction",
            400,
            too_large,
            415,
            422,
            NOTHING_SERVING,
            Overloaded(settings.max_queued_rows, "records"),
            too_long,
            description="The prediction for the record.",
        ),
    )
    async def predict(request: Request) -> Response:
        """One record with every feature by name; the answer names the version that computed it."""
        return _json(await batcher.predict(await read_json_body(request, max_bytes)))

    @router.post(
        "/predict/batch",
        operation_id="predict_batch",
        summary="Predict several records",
        openapi_extra={**describe_request("Records"), "parameters": [_WARNINGS]},
        responses=describe_responses(
            "Predictions",
            400,
            too_large,
            415,
            422,
            NOTHING_SERVING,
            Overloaded(settings.max_queued_batches, "batches"),
            too_long,
            description="The predictions, one for each record, in their order.",
        ),
    )
    async def predict_batch(request: Request) -> Response:
        """Several records; all answers are from one version, in the order of the records."""
        warn = _warn(request)
        body = await read_json_body(request, max_bytes)
        return _json(await batcher.predict_batch(body, warn=warn))

    return router


def _warn(request: Request) -> bool:
    """Whether the query asks for warnings. Raises InvalidRecord for neither yes nor no."""
    given = request.query_params.getlist("warnings")
    if len(given) > 1:
        raise InvalidRecord([FieldError("warnings", "given twice in the query")])
    if given and given[0] not in {"true", "false"}:
        raise InvalidRecord([FieldError("warnings", "expected true or false in the query")])
    return given == ["true"]


def _json(body: bytes) -> Response:
    return Response(body, headers=NO_STORE, media_type="application/json")
