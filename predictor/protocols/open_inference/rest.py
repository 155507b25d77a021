"""`/v2/…`: the Open Inference Protocol over REST, with tensors in JSON or as bytes behind it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from predictor.errors import BodyTooLarge
from predictor.http.body import (
    MediaType,
    check_encoding,
    check_json,
    content_type,
    encoding,
    read_body,
)
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import LARGE, Batcher
from predictor.inference.compute import Run
from predictor.model.servable import Servable
from predictor.model_version import ModelUri
from predictor.openapi.responses import NOTHING_SERVING, describe_request, describe_responses
from predictor.protocols.open_inference import body
from predictor.protocols.open_inference.body import V2Request, V2Response
from predictor.protocols.open_inference.errors import ERROR_FORMAT, InvalidInference, UnknownModel
from predictor.protocols.open_inference.inference import Target, infer
from predictor.protocols.open_inference.outputs import (
    EXTENSIONS,
    V2Health,
    V2Model,
    V2Ready,
    V2Server,
)
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

_BYTES = "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"
_ModelName = Annotated[str, Path(description="The registered model's name.")]
_Version = Annotated[str, Path(description="Its version, which must serve.")]
_INVALID = InvalidInference("inputs[0].data: missing, for input `mean_radius`")
_UNKNOWN = UnknownModel("model `other` is not served here; `breast-cancer` is")


def routes(batcher: Batcher, reconciler: Reconciler, settings: Settings) -> APIRouter:
    """The routes of the protocol. Each route of a model exists with a version, and without."""
    router = APIRouter(tags=["open inference"])
    _add_server(router, reconciler)
    own = ModelUri.parse(settings.model_uri).name

    async def unversioned(model: _ModelName) -> Target:
        """Raises UnknownModel for a model that is never served here."""
        target = Target(model)
        target.check_name(own)
        return target

    async def versioned(model: _ModelName, version: _Version) -> Target:
        """The same, with a version."""
        target = Target(model, version)
        target.check_name(own)
        return target

    for path, suffix, target in (
        ("/v2/models/{model}", "", unversioned),
        ("/v2/models/{model}/versions/{version}", "_version", versioned),
    ):
        _add_model(router, reconciler, path, suffix, target)
        _add_infer(router, batcher, settings.max_body_bytes, path, suffix, target_of=target)
    return router


def _add_server(router: APIRouter, reconciler: Reconciler) -> None:
    @router.get(
        "/v2",
        operation_id="v2_server_metadata",
        summary="What the server is",
        responses=describe_responses(V2Server),
    )
    async def server(request: Request) -> Response:
        """Name, version and the protocol's extensions that are supported."""
        app = request.app
        return _json(V2Server(app.title, app.version, [*EXTENSIONS]))

    @router.get(
        "/v2/health/live",
        operation_id="v2_server_live",
        summary="Whether the process can answer",
        responses=describe_responses(V2Health),
    )
    async def live() -> Response:
        """200 for as long as the process answers at all."""
        return _json(V2Health(live=True, ready=reconciler.serving is not None))

    @router.get(
        "/v2/health/ready",
        operation_id="v2_server_ready",
        summary="Whether a version serves",
        responses=describe_responses(V2Health, 503, error_format=ERROR_FORMAT),
    )
    async def ready() -> Response:
        """200 while a version serves, else 503 with the reason."""
        reconciler.require_serving()
        return _json(V2Health(live=True, ready=True))


_TargetOf = Callable[..., Awaitable[Target]]


def _add_model(
    router: APIRouter, reconciler: Reconciler, path: str, suffix: str, target_of: _TargetOf
) -> None:
    def serving(target: Target) -> Servable:
        servable = reconciler.require_serving()
        target.check(servable.model_version)
        return servable

    @router.get(
        path,
        operation_id=f"v2_model{suffix}_metadata",
        summary="What the model takes and gives",
        responses=describe_responses(V2Model, _UNKNOWN, NOTHING_SERVING, error_format=ERROR_FORMAT),
    )
    async def model(target: Annotated[Target, Depends(target_of)]) -> Response:
        """The graph's own inputs, the outputs of an answer, and the version that serves."""
        servable = serving(target)
        return _json(V2Model.of(servable.model_version, servable.signature))

    @router.get(
        f"{path}/ready",
        operation_id=f"v2_model{suffix}_ready",
        summary="Whether the model serves",
        responses=describe_responses(V2Ready, _UNKNOWN, NOTHING_SERVING, error_format=ERROR_FORMAT),
    )
    async def ready(target: Annotated[Target, Depends(target_of)]) -> Response:
        """200 while it serves; 404 for another model or version, 503 while none serves."""
        return _json(V2Ready(serving(target).model_version.name, ready=True))


def _add_infer(
    router: APIRouter,
    batcher: Batcher,
    max_bytes: int,
    path: str,
    suffix: str,
    *,
    target_of: _TargetOf,
) -> None:
    responses = describe_responses(
        V2Response, _INVALID, _UNKNOWN, BodyTooLarge(max_bytes), 415, 503, error_format=ERROR_FORMAT
    )
    responses[200]["content"][_BYTES] = {"schema": {"type": "string", "format": "binary"}}

    @router.post(
        f"{path}/infer",
        operation_id=f"v2_infer{suffix}",
        summary="Infer, from tensors",
        openapi_extra=describe_request(V2Request),
        responses=responses,
    )
    async def infer_rows(
        request: Request, target: Annotated[Target, Depends(target_of)]
    ) -> Response:
        """Rows as tensors: the graph's own inputs, or one tensor per feature by its name.

        Tensors may follow the JSON as bytes, with `Inference-Header-Content-Length`.
        """
        length = _json_length(request)
        _check_type(request)
        content = await read_body(request, max_bytes)
        if len(content) > LARGE:
            work = partial(_in_thread, content, length, target)
            return _response(*await batcher.compute(work))
        read = body.read(content, length, target)
        return _response(*body.write(read, await infer(batcher, read.inference)))


def _in_thread(
    content: bytes, length: str | None, target: Target, servable: Servable, run: Run
) -> tuple[bytes, int | None]:
    """Read, compute and write: for a large body, all of it takes too long for the event loop."""
    read = body.read(content, length, target)
    return body.write(read, read.inference.compute(servable, run))


def _json_length(request: Request) -> str | None:
    """The header field's value; given twice, it is not a number (RFC 9110, section 5.3)."""
    return ", ".join(request.headers.getlist(_LENGTH)) if _LENGTH in request.headers else None


def _check_type(request: Request) -> None:
    """Raise UnsupportedMedia unless the body is JSON, plain bytes, or (as Triton's client sends) of no type."""
    kind = content_type(request)
    if kind and MediaType.parse(kind).essence == _BYTES:
        check_encoding(encoding(request))
    else:
        check_json(kind, encoding(request))


def _response(content: bytes, json_length: int | None) -> Response:
    if json_length is None:
        return Response(content, headers=NO_STORE, media_type="application/json")
    return Response(content, headers={**NO_STORE, _LENGTH: str(json_length)}, media_type=_BYTES)


def _json(content: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(content), headers=NO_STORE, media_type="application/json")
