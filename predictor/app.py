"""create_app: routes, lifespan, errors and the OpenAPI document, around the service's parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI

from predictor import lag, openapi, problems
from predictor.api import events, health, page, predict, webhook
from predictor.instrument import Instrument
from predictor.named import Named
from predictor.servable import Servable
from predictor.service import Service


def create_app(service: Service) -> FastAPI:
    """The ASGI application of one service. It starts watching the registry when it starts."""
    app = FastAPI(
        title="mlflow-hotswap",
        version="0.1.0",
        lifespan=_lifespan(service),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(predict.routes(service))
    app.include_router(health.routes(service))
    app.include_router(events.routes(service))
    app.include_router(page.routes(service))
    if service.deliveries:
        app.include_router(webhook.routes(service, service.deliveries))
    problems.add_handlers(app)
    _follow_the_serving_version(app, service)
    app.add_middleware(Instrument, answered=service.metrics.answered)
    app.middleware_stack = Named(app.build_middleware_stack())
    return app


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.watcher.start()
        measuring = asyncio.create_task(lag.measure(service.metrics.lagged))
        async with service.beside():
            yield
        measuring.cancel()
        service.watcher.stop()
        await service.reconciler.close()

    return lifespan


def _follow_the_serving_version(app: FastAPI, service: Service) -> None:
    """Write the OpenAPI document anew for each servable, and only then."""
    nothing_serves = openapi.document(app, None)
    # Weak, so that a servable that was swapped out is freed.
    written: WeakKeyDictionary[Servable, dict[str, Any]] = WeakKeyDictionary()

    def describe() -> dict[str, Any]:
        serving = service.reconciler.serving
        if serving is None:
            return nothing_serves
        if serving not in written:
            written[serving] = openapi.document(app, serving)
        return written[serving]

    app.openapi = describe  # type: ignore[method-assign]
