"""`POST /predict/explain`: one record in, its prediction and what each feature contributed to it out."""

from functools import partial

from fastapi import APIRouter, Request, Response

from predictor.errors import BodyTooLarge, InferenceTimeout, Overloaded
from predictor.http.body import read_json_body
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import Batcher
from predictor.model.servable import Servable
from predictor.openapi.examples import Examples
from predictor.openapi.responses import NOTHING_SERVING, describe_request, describe_responses
from predictor.openapi.schemas import Part, Versioned, components, ref
from predictor.protocols.explain.explainer import Explainer, Explanation
from predictor.protocols.explain.sampling import MAX_SECONDS, NoBackground, NotInTime
from predictor.protocols.predict.openapi import prediction_schema
from predictor.protocols.predict.routes import flag
from predictor.settings import Settings

_WHAT_IF = {
    "name": "what_if",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether the record is only tried out, as by `/predict/what-if`: its prediction is not counted.",
}


def routes(batcher: Batcher, settings: Settings) -> APIRouter:
    """The route of explanations."""
    router = APIRouter(tags=["predictions"])
    max_bytes = settings.max_body_bytes
    explainer = Explainer()

    @router.post(
        "/predict/explain",
        operation_id="explain",
        summary="Predict one record, and say why",
        openapi_extra={**describe_request("Record"), "parameters": [_WHAT_IF]},
        responses=describe_responses(
            "Explained",
            400,
            NoBackground(),
            BodyTooLarge(max_bytes),
            415,
            422,
            NOTHING_SERVING,
            Overloaded(settings.max_queued_batches, "large requests"),
            InferenceTimeout(settings.inference_seconds),
            NotInTime(MAX_SECONDS),
            description="The prediction, and what each feature contributed to it.",
        ),
    )
    async def explain(request: Request) -> Response:
        """What each feature contributed to the answer, by Shapley values.

        The contributions add up to the answer minus the baseline, which is the mean answer to the
        background: training rows in the version's artifact. They describe the model, not causes.
        """
        what_if = flag(request.query_params, "what_if")
        body = await read_json_body(request, max_bytes)
        work = partial(explainer.explain, body)
        explained = await batcher.compute(work, low_priority=True, hypothetical=what_if)
        return Response(explained, headers=NO_STORE, media_type="application/json")

    return router


def describe(servable: Servable | None, examples: Examples) -> Part:
    """The body of an explanation, for the document."""
    explained = prediction_schema(
        servable,
        examples.response,
        "A prediction, and what each feature contributed to it.",
        {"explanation": ref(Explanation), **components(Versioned)["Versioned"]["properties"]},
    )
    return Part({"Explained": explained, **components(Explanation)})
