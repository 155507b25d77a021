"""`/openapi.json`: the API as a document."""

from fastapi import APIRouter, Request, Response

from predictor.http.conditional import answer
from predictor.http.headers import NO_CACHE
from predictor.openapi.documents import Documents
from predictor.service import Service


def routes(service: Service, documents: Documents) -> APIRouter:
    """The routes that say what the API is."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def document(request: Request) -> Response:
        recorded = service.access.allows("/predict", request.scope["headers"])
        latest = await documents.latest(recorded=recorded)
        return answer(request, latest.validator, latest.content, "application/json", NO_CACHE)

    return router
