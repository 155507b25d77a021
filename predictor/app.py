"""create_app: routes, lifespan, errors and the OpenAPI document, around the service's parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.responses import FileResponse

from predictor import openapi, problems
from predictor.api import health, predict
from predictor.instrument import Instrument
from predictor.servable import Servable
from predictor.service import Service

_WEB = Path(__file__).parent / "web"


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
    app.add_api_route("/", _page, include_in_schema=False)
    problems.add_handlers(app)
    _follow_the_serving_version(app, service)
    app.add_middleware(Instrument, answered=service.metrics.answered)
    return app


async def _page() -> FileResponse:
    return FileResponse(_WEB / "index.html", media_type="text/html")


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.watcher.start()
        yield
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
