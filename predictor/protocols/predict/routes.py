"""`POST /predict` and `POST /predict/batch`: records in, predictions out."""

from predictor.errors import BodyTooLarge, FieldError, InferenceTimeout, InvalidRecord, Overloaded
from predictor.http.body import check_json
from predictor.http.inference_routes import InferenceRoute, RequestHead
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


def _choose_one(head: RequestHead) -> OneRecord:
    check_json(head.field("content-type"), head.field("content-encoding"))
    return _ONE


def _choose_many(head: RequestHead) -> Records:
    """Raises InvalidRecord for a query that is neither `warnings=true` nor `warnings=false`."""
    given = head.query.getlist("warnings")
    if len(given) > 1:
        raise InvalidRecord([FieldError("warnings", "given twice in the query")])
    if given and given[0] not in {"true", "false"}:
        raise InvalidRecord([FieldError("warnings", "expected true or false in the query")])
    check_json(head.field("content-type"), head.field("content-encoding"))
    return _MANY_WITH_WARNINGS if given == ["true"] else _MANY
