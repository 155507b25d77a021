"""`POST /predict` and `POST /predict/batch`: records in, predictions out."""

import msgspec
from fastapi import APIRouter, Request, Response

from predictor.answers import Answer, NamedAnswer, NamedAnswers
from predictor.body import read_json_body
from predictor.openapi import answers_with, takes
from predictor.servable import Servable
from predictor.service import Service

_encode = msgspec.json.Encoder().encode


def routes(service: Service) -> APIRouter:
    """The routes of our own prediction protocol."""
    router = APIRouter(tags=["predictions"])
    most = service.settings.max_body_bytes

    @router.post(
        "/predict",
        operation_id="predict",
        summary="Predict one record",
        openapi_extra=takes("Record"),
        responses=answers_with("Prediction", 400, 413, 415, 422, 503),
    )
    async def predict(request: Request) -> Response:
        """One record with every feature by name; the answer names the version that computed it."""
        servable, answer = await service.batcher.predict(await read_json_body(request, most))
        return _json(encode_answer(servable, answer))

    @router.post(
        "/predict/batch",
        operation_id="predict_batch",
        summary="Predict several records",
        openapi_extra=takes("Records"),
        responses=answers_with("Predictions", 400, 413, 415, 422, 503),
    )
    async def predict_batch(request: Request) -> Response:
        """Several records; all answers are from one version, in the order of the records."""
        body = await read_json_body(request, most)
        servable, answers = await service.batcher.predict_batch(body)
        version = servable.model_version
        return _json(_encode(NamedAnswers(answers, version.name, version.version)))

    return router


def encode_answer(servable: Servable, answer: Answer) -> bytes:
    """The body of an answer to one record."""
    version = servable.model_version
    return _encode(
        NamedAnswer(
            answer.prediction,
            answer.probability,
            answer.probabilities,
            version.name,
            version.version,
        )
    )


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
