"""`POST /predict/explain`: one record in, its prediction and what each feature contributed to it out."""

from functools import partial

from fastapi import APIRouter, Request, Response

from predictor.errors import BodyTooLarge, InferenceTimeout, Overloaded
from predictor.http.body import read_json_body
from predictor.http.conditional import NO_STORE
from predictor.openapi.operations import NOTHING_SERVING, answers_with, takes
from predictor.parts import Service
from predictor.protocols.explain.explainer import Explainer
from predictor.protocols.explain.sampling import MOST_SECONDS, NoBackground, NotInTime


def routes(service: Service) -> APIRouter:
    """The route of explanations."""
    router = APIRouter(tags=["predictions"])
    most = service.settings.max_body_bytes
    explainer = Explainer()

    @router.post(
        "/predict/explain",
        operation_id="explain",
        summary="Predict one record, and say why",
        openapi_extra=takes("Record"),
        responses=answers_with(
            "Explained",
            400,
            NoBackground(),
            BodyTooLarge(most),
            415,
            422,
            NOTHING_SERVING,
            Overloaded(service.settings.max_queued_batches, "batches"),
            InferenceTimeout(service.settings.inference_seconds),
            NotInTime(MOST_SECONDS),
            says="The prediction, and what each feature contributed to it.",
        ),
    )
    async def explain(request: Request) -> Response:
        """What each feature contributed to the answer, by Shapley values.

        The contributions add up to the answer less the baseline, which is the mean answer to the
        background: training rows in the version's artifact. They say what the model did, and not what
        causes what.
        """
        body = await read_json_body(request, most)
        explained = await service.batcher.compute(partial(explainer.explain, body), yields=True)
        return Response(explained, headers=NO_STORE, media_type="application/json")

    return router
