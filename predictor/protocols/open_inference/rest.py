"""`/v2/…`: the Open Inference Protocol over REST, with tensors in JSON or as bytes behind it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from predictor.http.body import (
    MediaType,
    check_encoding,
    check_json,
    content_type,
    encoding,
    read_body,
)
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import LARGE
from predictor.inference.compute import Run
from predictor.model.servable import Servable
from predictor.model_version import ModelUri
from predictor.parts import Service
from predictor.protocols.open_inference import body as request
from predictor.protocols.open_inference import body as response
from predictor.protocols.open_inference import openapi as document
from predictor.protocols.open_inference import outputs as metadata
from predictor.protocols.open_inference.inference import Addressed, infer
from predictor.protocols.open_inference.openapi import answers_with

_BYTES = "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"
_UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY
_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"


def routes(service: Service) -> APIRouter:
    """The routes of the protocol. Each of a model's is there with a version, and without."""
    router = APIRouter(tags=["open inference"])
    _add_server(router, service)
    for path, suffix in ((_MODEL, ""), (_VERSION, "_version")):
        _add_model(router, service, path, suffix)
        _add_infer(router, service, path, suffix)
    return router


def error(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> Response:
    """An error as the protocol writes it, which has no 422."""
    code = HTTPStatus.BAD_REQUEST if status == _UNPROCESSABLE else status
    return _json({"error": detail}, code, headers)


def _add_server(router: APIRouter, service: Service) -> None:
    @router.get(
        "/v2",
        operation_id="v2_server_metadata",
        summary="What the server is",
        responses=answers_with("V2Server"),
    )
    async def server(request: Request) -> Response:
        """Name, version and the extensions of the protocol that are spoken."""
        app = request.app
        extensions = list(metadata.EXTENSIONS)
        return _json({"name": app.title, "version": app.version, "extensions": extensions})

    @router.get(
        "/v2/health/live",
        operation_id="v2_server_live",
        summary="Whether the process can answer",
        responses=answers_with("V2Health"),
    )
    async def live() -> Response:
        """200 for as long as the process answers at all."""
        return _json({"live": True, "ready": service.reconciler.serving is not None})

    @router.get(
        "/v2/health/ready",
        operation_id="v2_server_ready",
        summary="Whether a version serves",
        responses=answers_with("V2Health", 503),
    )
    async def ready() -> Response:
        """200 while a version serves, else 503 with the reason."""
        service.reconciler.require_serving()
        return _json({"live": True, "ready": True})


def _add_model(router: APIRouter, service: Service, path: str, suffix: str) -> None:
    described = document.addressed(path)

    @router.get(
        path,
        operation_id=f"v2_model{suffix}_metadata",
        summary="What the model takes and gives",
        openapi_extra=described,
        responses=answers_with("V2Model", 404, 503),
    )
    async def model(asked: Request) -> Response:
        """The graph's own inputs, the outputs of an answer, and the version that serves."""
        servable = _serving(service, asked)
        version = servable.model_version
        parameters = metadata.parameters(servable.signature)
        return _json(
            {
                "name": version.name,
                "versions": [version.version],
                "platform": metadata.PLATFORM,
                "inputs": metadata.inputs(servable.signature),
                "outputs": metadata.outputs(servable.signature),
                **({"parameters": parameters} if parameters else {}),
            }
        )

    @router.get(
        f"{path}/ready",
        operation_id=f"v2_model{suffix}_ready",
        summary="Whether the model serves",
        openapi_extra=described,
        responses=answers_with("V2Ready", 404, 503),
    )
    async def ready(asked: Request) -> Response:
        """200 while it serves; 404 for another model or version, 503 while none serves."""
        return _json({"name": _serving(service, asked).model_version.name, "ready": True})


def _add_infer(router: APIRouter, service: Service, path: str, suffix: str) -> None:
    most, batcher = service.settings.max_body_bytes, service.batcher

    @router.post(
        f"{path}/infer",
        operation_id=f"v2_infer{suffix}",
        summary="Infer, from tensors",
        openapi_extra=document.addressed(path) | document.takes("V2Request"),
        responses=document.infers("V2Response", 400, 404, 413, 415, 503),
    )
    async def infer_rows(asked: Request) -> Response:
        """Rows as tensors: the graph's own inputs, or one tensor per feature by its name.

        Tensors may follow the JSON as bytes, with `Inference-Header-Content-Length`.
        """
        addressed = _addressed(service, asked)
        length = _json_length(asked)
        _check_type(asked)
        body = await read_body(asked, most)
        if len(body) > LARGE:
            work = partial(_in_thread, body, length, addressed)
            return _inferred(*await batcher.compute(work))
        read = request.read(body, length, addressed)
        return _inferred(*response.write(read, await infer(batcher, read.inference)))


def _in_thread(
    body: bytes, length: str | None, addressed: Addressed, servable: Servable, run: Run
) -> tuple[bytes, int | None]:
    """Read, compute and write: none of it is for the event loop where there is much of it."""
    read = request.read(body, length, addressed)
    return response.write(read, read.inference.compute(servable, run))


def _json_length(asked: Request) -> str | None:
    """What the header field says; given twice, no number at all (RFC 9110, section 5.3)."""
    return ", ".join(asked.headers.getlist(_LENGTH)) if _LENGTH in asked.headers else None


def _check_type(asked: Request) -> None:
    """Raise UnsupportedMedia for what neither JSON nor plain bytes are; Triton's client does not say which."""
    kind = content_type(asked)
    if kind and MediaType.parse(kind).essence == _BYTES:
        check_encoding(encoding(asked))
    else:
        check_json(kind, encoding(asked))


def _addressed(service: Service, asked: Request) -> Addressed:
    """Which model and version the path names. Raises UnknownModel for a model that is never served here."""
    addressed = Addressed(asked.path_params["model"], asked.path_params.get("version"))
    addressed.check_name(ModelUri.parse(service.settings.model_uri).name)
    return addressed


def _serving(service: Service, asked: Request) -> Servable:
    addressed = _addressed(service, asked)
    servable = service.reconciler.require_serving()
    addressed.check(servable.model_version)
    return servable


def _inferred(body: bytes, json_length: int | None) -> Response:
    if json_length is None:
        return Response(body, headers=NO_STORE, media_type="application/json")
    return Response(body, headers={**NO_STORE, _LENGTH: str(json_length)}, media_type=_BYTES)


def _json(
    body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] = NO_STORE
) -> Response:
    return Response(msgspec.json.encode(body), status, dict(headers), "application/json")
