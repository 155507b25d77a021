"""`/ping`, `/version` and `/invocations`: MLflow's scoring protocol, and with it SageMaker's contract.

MLflow calls the first two answers JSON, which they are not; here they are plain text.
"""

from fastapi import APIRouter, Response

from predictor.errors import BodyTooLarge
from predictor.http.conditional import NO_STORE
from predictor.http.inference_routes import InferenceRoute, RequestHead
from predictor.openapi.responses import NOTHING_SERVING, describe_responses
from predictor.openapi.schemas import ref
from predictor.protocols.mlflow_scoring.errors import (
    ERROR_FORMAT,
    InvalidInput,
    NoMlflowVersion,
    SchemaNotMet,
)
from predictor.protocols.mlflow_scoring.forms import media_of
from predictor.protocols.mlflow_scoring.invocation import Invocations, Scored
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

_TEXT = {"type": "string"}


def routes(reconciler: Reconciler) -> APIRouter:
    """The routes of the protocol, but `/invocations`, and `/health`, which is ours."""
    router = APIRouter(tags=["mlflow scoring"])

    @router.get(
        "/ping",
        operation_id="ping",
        summary="Whether a version serves",
        responses=describe_responses(_TEXT, NOTHING_SERVING, error_format=ERROR_FORMAT),
    )
    async def ping() -> Response:
        """200 while a version serves, as MLflow and SageMaker want it; else 503."""
        reconciler.require_serving()
        return Response("\n", headers=NO_STORE, media_type="text/plain")

    @router.get(
        "/version",
        operation_id="get_mlflow_version",
        summary="Which MLflow logged the version that serves",
        responses=describe_responses(
            _TEXT, NoMlflowVersion(), NOTHING_SERVING, error_format=ERROR_FORMAT
        ),
    )
    async def mlflow_version() -> Response:
        """The version of MLflow, as `MLmodel` has it, and nothing around it."""
        version = reconciler.require_serving().python_function.mlflow_version
        if not version:
            raise NoMlflowVersion
        return Response(version, headers=NO_STORE, media_type="text/plain")

    return router


_JSON, _CSV = Invocations("json"), Invocations("csv")


def _choose(head: RequestHead) -> Invocations:
    media = media_of(head.field("content-type"), head.field("content-encoding"))
    return _CSV if media == "csv" else _JSON


def inference_routes(settings: Settings) -> list[InferenceRoute]:
    """`/invocations`."""
    content = {
        "application/json": {"schema": ref("Invocation")},
        "text/csv": {"schema": ref("InvocationCsv")},
    }
    description = {
        "tags": ["mlflow scoring"],
        "operation_id": "invoke",
        "summary": "Predict as `mlflow models serve` does",
        "description": "Rows in one of MLflow's four JSON forms, or CSV; the answers as MLflow writes them.",
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": describe_responses(
            Scored,
            InvalidInput("column mean_radius, row 0: expected a number, got another text"),
            SchemaNotMet("missing columns: ['mean_radius']"),
            BodyTooLarge(settings.max_body_bytes),
            415,
            503,
            error_format=ERROR_FORMAT,
        ),
    }
    return [InferenceRoute("/invocations", _choose, ERROR_FORMAT, description)]
