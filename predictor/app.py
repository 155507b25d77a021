"""create_app: routes, lifespan, errors and the OpenAPI document, around the service's parts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from fastapi import Depends, FastAPI

from predictor import lag
from predictor.api import (
    docs,
    events,
    explain,
    health,
    invocations,
    model,
    open_inference,
    page,
    predict,
    webhook,
)
from predictor.api.guard import guard
from predictor.http import origins, problems
from predictor.http.cors import Cors
from predictor.http.head import Head
from predictor.http.instrument import Instrument
from predictor.http.named import Named
from predictor.openapi.documents import Documents
from predictor.scoring.dialect import scoring_error
from predictor.service import Service

_DIALECTS: Mapping[str, problems.Dialect] = {
    "/v2": open_inference.error,
    **dict.fromkeys(("/invocations", "/ping", "/version"), scoring_error),
}
"""Protocols that write their errors otherwise, by the path that they are below."""


def create_app(service: Service) -> FastAPI:
    """The ASGI application of one service. It starts watching the registry when it starts."""
    app = FastAPI(
        title="mlflow-hotswap",
        version="0.1.0",
        lifespan=_lifespan(service),
        # Both are routes of ours.
        openapi_url=None,
        docs_url=None,
        redirect_slashes=False,
        dependencies=[Depends(guard(service.access))] if service.access.asks else [],
    )
    app.include_router(predict.routes(service))
    app.include_router(explain.routes(service))
    app.include_router(open_inference.routes(service))
    app.include_router(invocations.routes(service))
    app.include_router(model.routes(service))
    app.include_router(health.routes(service))
    app.include_router(events.routes(service))
    app.include_router(page.routes(service))
    if service.deliveries:
        app.include_router(webhook.routes(service, service.deliveries))
    app.include_router(docs.routes(service, Documents(app, service)))
    problems.add_handlers(app, _DIALECTS)
    if allowed := origins.parse(service.settings.cors_origins):
        app.add_middleware(Cors, origins=allowed)
    app.add_middleware(Instrument, answered=service.metrics.answered)
    app.middleware_stack = Head(Named(service.spans.app(app.build_middleware_stack())))
    return app


def _calls(service: Service) -> AbstractAsyncContextManager[object]:
    """Answer gRPC meanwhile, where a setting asks for it; grpcio is an extra, and slow to import."""
    if service.settings.grpc_port is None:
        return nullcontext()
    from predictor.grpc_service.server import serving

    return serving(service)


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.watcher.start()
        measuring = asyncio.create_task(lag.measure(service.metrics.lagged))
        async with service.access.following(), service.beside(), _calls(service):
            yield
        measuring.cancel()
        service.watcher.stop()
        await service.reconciler.close()

    return lifespan
