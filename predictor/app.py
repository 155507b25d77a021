"""create_app: routes, lifespan, errors and the OpenAPI document, around the service's parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import Any

from fastapi import Depends, FastAPI, Request
from structlog.contextvars import bind_contextvars

from predictor import origins
from predictor.access import NOBODYS, Access
from predictor.http import problems
from predictor.http.middleware import (
    CorsMiddleware,
    HeadMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
)
from predictor.operations import events, health, model, page, webhook
from predictor.operations import openapi as docs
from predictor.operations.openapi import Documents
from predictor.parts import Service
from predictor.protocols.explain import routes as explain
from predictor.protocols.mlflow_scoring import errors as scoring_errors
from predictor.protocols.mlflow_scoring import openapi as scoring_openapi
from predictor.protocols.mlflow_scoring import routes as scoring
from predictor.protocols.open_inference import errors as open_inference_errors
from predictor.protocols.open_inference import openapi as open_inference_openapi
from predictor.protocols.open_inference import rest as open_inference
from predictor.protocols.predict import openapi as predict_openapi
from predictor.protocols.predict import routes as predict

_ERROR_FORMATS = {**open_inference_errors.ERROR_FORMATS, **scoring_errors.ERROR_FORMATS}
_DOCUMENTED = (
    predict_openapi.describe,
    explain.describe,
    open_inference_openapi.describe,
    scoring_openapi.describe,
    docs.describe,
)


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
    app.include_router(scoring.routes(service))
    app.include_router(model.routes(service))
    app.include_router(health.routes(service))
    app.include_router(events.routes(service))
    app.include_router(page.routes(service))
    if service.deliveries:
        app.include_router(webhook.routes(service, service.deliveries))
    app.include_router(docs.routes(service, Documents(app, service, _DOCUMENTED)))
    problems.add_handlers(app, _ERROR_FORMATS)
    if allowed := origins.parse(service.settings.cors_origins):
        app.add_middleware(CorsMiddleware, origins=allowed)
    app.add_middleware(MetricsMiddleware, answered=service.metrics.answered)
    app.middleware_stack = HeadMiddleware(
        RequestIdMiddleware(service.spans.app(app.build_middleware_stack()))
    )
    return app


def _calls(service: Service) -> AbstractAsyncContextManager[object]:
    """Answer gRPC meanwhile, where a setting asks for it; grpcio is an extra, and slow to import."""
    if service.settings.grpc_port is None:
        return nullcontext()
    from predictor.protocols.open_inference.grpc.server import serving

    return serving(service)


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.poller.start()
        measuring = asyncio.create_task(measure_lag(service.metrics.lagged))
        async with service.access.following(), service.beside(), _calls(service):
            yield
        measuring.cancel()
        service.poller.stop()
        await service.reconciler.close()

    return lifespan


_SAMPLE_SECONDS = 0.25


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Tell `observe` every quarter of a second by how many seconds it is late. Ends when cancelled.

    The loop's timers are whole milliseconds; what a loop with nothing to do is late is up to one.
    """
    while True:
        due = perf_counter() + _SAMPLE_SECONDS
        await asyncio.sleep(_SAMPLE_SECONDS)
        observe(max(0.0, perf_counter() - due))


def guard(access: Access) -> Callable[[Request], Awaitable[None]]:
    """A dependency of every route, for the whole application. It raises Unauthorized."""

    async def check(request: Request) -> None:
        scope = request.scope
        client = request.client.host if request.client else ""
        route = scope["route"].path
        # What no row of the table can be about, nobody may ask.
        named = route if _is_whole(route, scope["path"]) else NOBODYS
        owner = access.check(named, scope["headers"], client)
        if owner is not None:
            bind_contextvars(asked_by=owner)  # in every line of the log about this request

    return check


def _is_whole(route: str, path: str) -> bool:
    """Whether a route's path is all of a request's: not so for a line end behind it, or a prefix before it.

    FastAPI does not tell a route of the prefix that its router was included with.
    """
    fixed, parameter, _ = route.partition("{")
    return path.startswith(fixed) if parameter else path == fixed
