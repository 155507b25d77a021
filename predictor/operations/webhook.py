"""`POST /webhooks/mlflow`: after a change in MLflow, poll the registry at once."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response

from predictor.errors import BodyTooLarge, RequestError
from predictor.http.body import read_json_body
from predictor.log_events import WEBHOOK_REFUSED
from predictor.logs import LogThrottle
from predictor.metrics.recorder import Metrics
from predictor.openapi.responses import describe_request, describe_responses
from predictor.openapi.schemas import doc
from predictor.registry.webhooks import (
    HEADERS,
    MAX_BODY_BYTES,
    WINDOW_SECONDS,
    Deliveries,
    Delivery,
    DeliveryMalformed,
    DeliveryNotSigned,
    DeliveryRefused,
    DeliveryRepeated,
    DeliveryStale,
    WebhookBody,
)

PATH = "/webhooks/mlflow"
_QUIET_SECONDS = 10.0  # between two log lines about refused deliveries
_REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in HEADERS
    ],
    **describe_request(WebhookBody),
}
_REFUSALS = (
    DeliveryMalformed(f"{HEADERS[0]} is missing, or is not an id"),
    DeliveryNotSigned(),
    DeliveryStale(3600, WINDOW_SECONDS),
    DeliveryRepeated(),
    BodyTooLarge(MAX_BODY_BYTES, setting=None),
    415,
)


class Delivered(msgspec.Struct, frozen=True):
    """The result of a webhook's delivery."""

    outcome: Annotated[
        Literal["accepted", "ignored"],
        doc(
            "`accepted`: the service polls the registry now. `ignored`: the delivery is about another model."
        ),
    ]


def routes(deliveries: Deliveries, metrics: Metrics, poll_now: Callable[[], None]) -> APIRouter:
    """The route of MLflow's webhooks. `poll_now` polls the registry."""
    router = APIRouter(tags=["operations"])
    refusals = LogThrottle(_QUIET_SECONDS)

    @router.post(
        PATH,
        operation_id="deliver_mlflow_webhook",
        summary="MLflow's registry webhooks: poll the registry at once",
        status_code=HTTPStatus.ACCEPTED,
        openapi_extra=_REQUEST,
        responses=describe_responses(
            Delivered, *_REFUSALS, description="The delivery is about another model."
        )
        | {
            202: describe_responses(Delivered, description="The service polls the registry now.")[
                200
            ]
        },
    )
    async def mlflow_webhook(request: Request) -> Response:
        """202 if it starts a poll of the registry; 200 if it is about another model.

        A delivery must be signed with the secret (HMAC-SHA256), at most five minutes old, and new.
        """
        try:
            delivery = Delivery.read(request.headers)
            body = await read_json_body(request, MAX_BODY_BYTES, setting=None)
            ours = await deliveries.take(delivery, body)
        except RequestError as error:
            outcome, reason = _why(error)
            metrics.delivered(outcome)
            if times := refusals.hit():
                WEBHOOK_REFUSED.log(outcome=outcome, reason=reason, deliveries=times)
            raise
        metrics.delivered("accepted" if ours else "ignored")
        if ours:
            poll_now()
        return _response(ours)

    return router


def _why(error: RequestError) -> tuple[str, str]:
    """The outcome and its reason, for the log, without text of the client."""
    if isinstance(error, DeliveryRefused):
        return error.outcome, str(error)
    return "malformed", f"the body is not JSON in UTF-8 of at most {MAX_BODY_BYTES} bytes"


def _response(ours: bool) -> Response:
    status = HTTPStatus.ACCEPTED if ours else HTTPStatus.OK
    body = msgspec.json.encode(Delivered("accepted" if ours else "ignored"))
    return Response(body, status, media_type="application/json")
