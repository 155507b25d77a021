"""The Open Inference Protocol in the document: what its routes take and answer, for the version that serves."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from predictor.errors import RequestError
from predictor.model.servable import Servable
from predictor.model.signature import Feature
from predictor.openapi.operations import ref
from predictor.protocols.open_inference import outputs as metadata
from predictor.protocols.open_inference.datatypes import DTYPES
from predictor.protocols.open_inference.outputs import outputs_of

_EXPLAINED = {
    400: "Malformed, or not what the serving version takes; the message names the place.",
    404: "Another model, or a version that does not serve.",
    413: "The body is larger than the limit.",
    415: "The body's type or encoding is not read.",
    503: "No version serves, or too much is asked. Try again after `Retry-After` seconds.",
}
_NAMED = {"model": "The registered model's name.", "version": "Its version, which must serve."}
_TEXT = {"type": "string"}
_PARAMETERS = {"type": "object", "additionalProperties": True}
_NAMES = {"type": "array", "items": _TEXT}
_FEATURES = {
    "type": "object",
    "description": "Absent where it would be empty.",
    "properties": {
        "may_be_missing": {**_NAMES, "description": "Features whose value may be NaN or absent."},
        "ignored": {**_NAMES, "description": "Inputs that may be sent and are ignored."},
    },
}
_SHAPE = {"type": "array", "items": {"type": "integer"}}


def takes(schema: str) -> dict[str, Any]:
    """The body of an inference request, for FastAPI's `openapi_extra`."""
    return {"requestBody": {"required": True, "content": _content(schema)}}


def addressed(path: str) -> dict[str, Any]:
    """The parameters of a path below a model, for FastAPI's `openapi_extra`."""
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _TEXT, "description": said}
            for name, said in _NAMED.items()
            if f"{{{name}}}" in path
        ]
    }


def answers_with(schema: str, *codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers with, for FastAPI's `responses`; its errors are the protocol's."""
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "OK", "content": _content(schema)}
    }
    for code in codes:
        answers[code] = {
            "description": _EXPLAINED[code],
            "content": {
                "application/json": {
                    "schema": ref("V2Error"),
                    "example": {"error": _EXPLAINED[code]},
                }
            },
        }
    return answers


def infers(schema: str, *codes: int) -> dict[int | str, dict[str, Any]]:
    """The same, where outputs may be requested as bytes."""
    answers = answers_with(schema, *codes)
    answers[int(HTTPStatus.OK)]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"}
    }
    return answers


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": ref(schema)}}


def schemas(servable: Servable | None, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schemas of the protocol, with an example of a request and its answer where a record is known."""
    datatype = {"type": "string", "enum": list(DTYPES)}
    described = _object({"name": _TEXT, "datatype": datatype, "shape": _SHAPE})
    flags = {name: {"type": "boolean"} for name in ("binary_data_output", "warnings")}
    taken = _object(
        {
            "inputs": _several("V2Input"),
            "id": {**_TEXT, "description": "Echoed."},
            "parameters": {**_PARAMETERS, "properties": flags},
            "outputs": {**_several("V2RequestedOutput"), "description": "All, without it."},
        },
        "inputs",
    )
    given = _object(
        {
            "model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "parameters": _PARAMETERS,
            "outputs": _several("V2Output"),
        },
        "model_name", "model_version", "outputs",
    )  # fmt: skip
    examples = _examples(servable, record) if servable and record else {}
    closed = {"additionalProperties": False}
    return {
        "V2Server": _object(
            {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}
        ),
        "V2Health": _object({"live": {"type": "boolean"}, "ready": {"type": "boolean"}}),
        "V2Ready": _object({"name": _TEXT, "ready": {"const": True, "type": "boolean"}}),
        "V2Error": _object({"error": _TEXT}),
        "V2Tensor": {**described, "description": "A dimension of -1 varies: the rows, as a rule."},
        "V2Model": _object(
            {
                "name": _TEXT,
                "versions": {"type": "array", "items": _TEXT},
                "platform": {"type": "string", "const": metadata.PLATFORM},
                "inputs": _several("V2Tensor"),
                "outputs": _several("V2Tensor"),
                "parameters": _FEATURES,
            },
            "name", "versions", "platform", "inputs", "outputs",
        ),
        "V2Input": {
            **_object(
                {
                    "name": _name(servable),
                    "datatype": datatype,
                    "shape": {
                        "type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 0},
                        "description": "[rows, columns], or [rows] for a single column.",
                    },
                    "parameters": _PARAMETERS,
                    "data": {
                        "type": "array", "items": {},
                        "description": "Flat in row-major order, or nested as the shape is. Without it, "
                        "`parameters.binary_data_size` bytes follow the JSON.",
                    },
                },
                "name", "datatype", "shape",
            ),
            **closed,
        },
        "V2RequestedOutput": {
            **_object({"name": _TEXT, "parameters": _PARAMETERS}, "name"), **closed
        },
        "V2Request": {**taken, **closed, **_example(examples, "request")},
        "V2Output": _object(
            {
                "name": _TEXT, "datatype": datatype, "shape": _SHAPE, "parameters": _PARAMETERS,
                "data": {"type": "array", "items": {"type": ["number", "string", "boolean"]}},
            },
            "name", "datatype", "shape",
        ),
        "V2Response": {**given, **_example(examples, "response")},
    }  # fmt: skip


def _name(servable: Servable | None) -> dict[str, Any]:
    """No enumeration: names that differ in little have no two names in a generated client."""
    if servable is None:
        return _TEXT
    signature = servable.signature
    names = [port.name for port in signature.ports] + [each.name for each in signature.features]
    named = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
    return {**_TEXT, "description": f"One of {named}."}


def _examples(servable: Servable, record: Mapping[str, Any]) -> dict[str, Any]:
    """One row in the graph's own inputs, and its answer; nothing where the row has none."""
    signature = servable.signature
    values = [_element(record.get(feature.name), feature) for feature in signature.features]
    inputs = []
    for port in metadata.inputs(signature):
        width = port.shape[-1] if len(port.shape) > 1 else 1
        shape = [1, *port.shape[1:]]
        own, values = values[:width], values[width:]
        inputs.append({"name": port.name, "datatype": port.datatype, "shape": shape, "data": own})
    (answer,) = servable.answer([servable.decoder.record(msgspec.json.encode(record))])
    if isinstance(answer, RequestError):
        return {}
    version = servable.model_version
    outputs = [
        {"name": each.name, "datatype": each.datatype, "shape": each.shape, "data": each.data}
        for each in outputs_of(signature, [answer], ())
    ]
    said = {"model_name": version.name, "model_version": version.version, "id": "1"}
    return {
        "request": {"id": "1", "inputs": inputs},
        "response": {**said, "outputs": outputs},
    }


def _element(value: Any, feature: Feature) -> Any:
    """In a tensor of numbers, true is 1."""
    return int(value) if isinstance(value, bool) and feature.dtype != "bool" else value


def _example(examples: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"example": examples[name]} if name in examples else {}


def _several(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": ref(schema)}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with these members; all are required unless some are named."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
    }
