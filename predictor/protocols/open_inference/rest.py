"""`/v2/…`: the Open Inference Protocol over REST, with tensors in JSON or as bytes behind it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from predictor.errors import BodyTooLarge
from predictor.http.body import MediaType, check_encoding, check_json
from predictor.http.conditional import NO_STORE
from predictor.http.inference_routes import InferenceRoute, RequestHead
from predictor.inference.protocol import Read, Result, read_each, write_each
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.model_version import ModelUri
from predictor.openapi.responses import (
    NOTHING_SERVING,
    describe_path,
    describe_request,
    describe_responses,
)
from predictor.protocols.open_inference import body
from predictor.protocols.open_inference.body import V2Request, V2Response
from predictor.protocols.open_inference.errors import ERROR_FORMAT, InvalidInference, UnknownModel
from predictor.protocols.open_inference.inference import Target
from predictor.protocols.open_inference.outputs import (
    EXTENSIONS,
    V2Health,
    V2Model,
    V2Ready,
    V2Server,
)
from predictor.protocols.open_inference.plain import BYTES, LENGTH, PLAIN, Note, with_bytes
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

_MODEL_NAME = "The registered model's name."
_VERSION = "Its version, which must serve."
_ModelName = Annotated[str, Path(description=_MODEL_NAME)]
_Version = Annotated[str, Path(description=_VERSION)]
_DESCRIPTION = """Rows as tensors: the graph's own inputs, or one tensor per feature by its name.

Tensors may follow the JSON as bytes, with `Inference-Header-Content-Length`."""
_INVALID = InvalidInference("inputs[0].data: missing, for input `mean_radius`")
_UNKNOWN = UnknownModel("model `other` is not served here; `breast-cancer` is")


def routes(reconciler: Reconciler, settings: Settings) -> APIRouter:
    """The routes of the protocol, but `/infer`. Each route of a model exists with a version, and without."""
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
    return router


def _add_server(router: APIRouter, reconciler: Reconciler) -> None:
    @router.get(
        "/v2",
        operation_id="v2_server_metadata",
        summary="Server metadata",
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
        summary="Model metadata: inputs and outputs",
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


@dataclass(frozen=True)
class Infer:
    """The protocol of `/infer`; `json_length` as in `body.read`."""

    target: Target
    json_length: str | None = None
    name: ClassVar[str] = "open_inference"

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows; the note of each request is what was read besides, and its rows."""
        plain = PLAIN.of(servable)

        def read_one(content: bytes) -> tuple[Sequence[Row], Note]:
            found = plain.read(content, self.json_length, self.target) if plain else None
            if found is not None:
                return found
            request = body.read(content, self.json_length, self.target)
            rows = request.inference.rows(servable)
            return rows, (request, rows)

        return read_each(read_one, bodies)

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The body of each response, with tensors as bytes behind the JSON if they were requested."""
        plain = PLAIN.of(servable)
        written = plain.write(read, answers) if plain else None
        if written is not None and None not in written:
            return written

        def write_one(part: Answers, note: Note) -> Result:
            request, rows = note
            content, length = body.write(request, request.inference.inferred(servable, rows, part))
            if length is None:
                return content
            return with_bytes(content, length)

        return write_each(write_one, read, answers, written)


_infer = lru_cache(maxsize=256)(Infer)


def inference_routes(settings: Settings) -> list[InferenceRoute]:
    """`/infer` of the model, and of one of its versions."""
    own = ModelUri.parse(settings.model_uri).name
    responses = describe_responses(
        V2Response, _INVALID, _UNKNOWN, BodyTooLarge(settings.max_body_bytes), 415, 503,
        error_format=ERROR_FORMAT,
    )  # fmt: skip
    responses[200]["content"][BYTES] = {"schema": {"type": "string", "format": "binary"}}

    def choose(head: RequestHead) -> Infer:
        target = Target(head.path_params["model"], head.path_params.get("version"))
        target.check_name(own)
        json_length = head.field(LENGTH)
        kind, encoding = head.field("content-type"), head.field("content-encoding")
        # Triton's client sends no type.
        if kind and MediaType.parse(kind).essence == BYTES:
            check_encoding(encoding)
        else:
            check_json(kind, encoding)
        return _infer(target, json_length)

    def route(path: str, suffix: str, *parameters: Any) -> InferenceRoute:
        description = {
            "tags": ["open inference"],
            "operation_id": f"v2_infer{suffix}",
            "summary": "Predict from tensors",
            "description": _DESCRIPTION,
            "openapi_extra": {**describe_request(V2Request), "parameters": [*parameters]},
            "responses": responses,
        }
        return InferenceRoute(path, choose, ERROR_FORMAT, description)

    model = describe_path("model", _MODEL_NAME)
    version = describe_path("version", _VERSION)
    return [
        route("/v2/models/{model}/infer", "", model),
        route("/v2/models/{model}/versions/{version}/infer", "_version", model, version),
    ]


def _json(content: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(content), headers=NO_STORE, media_type="application/json")
