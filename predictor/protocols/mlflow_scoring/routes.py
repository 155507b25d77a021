"""`/ping`, `/version` and `/invocations`: MLflow's scoring protocol, and with it SageMaker's contract.

MLflow calls the first two answers JSON, which they are not; here they are plain text.
"""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from predictor.errors import BodyTooLarge, InvalidRecord
from predictor.http.body import content_type, encoding, read_body
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import LARGE, Batcher
from predictor.openapi.responses import NOTHING_SERVING, describe_responses
from predictor.openapi.schemas import ref
from predictor.protocols.mlflow_scoring.errors import (
    ERROR_FORMAT,
    InvalidInput,
    NoMlflowVersion,
    SchemaNotMet,
)
from predictor.protocols.mlflow_scoring.forms import media_of
from predictor.protocols.mlflow_scoring.invocation import (
    Invocation,
    Result,
    Scored,
    failed,
)
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

_TEXT = {"type": "string"}


def routes(batcher: Batcher, reconciler: Reconciler, settings: Settings) -> APIRouter:
    """The routes of MLflow's scoring protocol, but `/health`, which is ours."""
    router = APIRouter(tags=["mlflow scoring"])
    max_bytes = settings.max_body_bytes

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

    @router.post(
        "/invocations",
        operation_id="invoke",
        summary="Predict as `mlflow models serve` does",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": ref("Invocation")},
                    "text/csv": {"schema": ref("InvocationCsv")},
                },
            }
        },
        responses=describe_responses(
            Scored,
            InvalidInput("column mean_radius, row 0: expected a number, got another text"),
            SchemaNotMet("missing columns: ['mean_radius']"),
            BodyTooLarge(max_bytes),
            415,
            503,
            error_format=ERROR_FORMAT,
        ),
    )
    async def invocations(request: Request) -> Response:
        """Rows in one of MLflow's four JSON forms, or CSV; the answers as MLflow writes them."""
        media = media_of(content_type(request), encoding(request))
        body = await read_body(request, max_bytes)
        invocation = Invocation(media, body)
        if len(body) > LARGE or len(invocation.rows(reconciler.require_serving())) != 1:
            return _answer(await batcher.compute(invocation.work))
        try:
            return _answer(await batcher.predict_row(invocation))
        except InvalidRecord as fault:
            raise failed(0, fault) from None

    return router


def _answer(result: Result) -> Response:
    version = result.version
    named = {"X-Model-Name": quote(version.name), "X-Model-Version": version.version}
    return Response(result.body, headers=NO_STORE | named, media_type="application/json")
