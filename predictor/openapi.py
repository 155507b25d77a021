"""The OpenAPI document: FastAPI writes the routes, the serving signature writes the schemas."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.answers import NamedAnswer
from predictor.problems import CONTENT_TYPE
from predictor.servable import Servable
from predictor.signature import Feature

_DESCRIPTION = """Predictions from the model version that MLflow's registry names, and from no other.

Every answer says which version computed it. Errors are problem documents (RFC 9457)."""

_EXPLAINED = {
    400: "The body is not JSON.",
    413: "The body is larger than the limit.",
    415: "The body's type or encoding is not read.",
    422: "JSON, but not what the serving version takes; every fault with its field.",
    503: "No version serves; the detail says why. Try again after `Retry-After` seconds.",
}


def takes(schema: str) -> dict[str, Any]:
    """What a route's body is, for FastAPI's `openapi_extra`."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}
    }


def answers_with(schema: str, *codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers with, for FastAPI's `responses`."""
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "OK", "content": {"application/json": {"schema": _ref(schema)}}}
    }
    for code in codes:
        answers[code] = {
            "description": _EXPLAINED[code],
            "content": {
                CONTENT_TYPE: {"schema": _ref("Problem"), "example": _problem_example(code)}
            },
        }
    return answers


def document(app: FastAPI, servable: Servable | None) -> dict[str, Any]:
    """The whole document, for the version that serves now."""
    base = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
    )
    schemas = base.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_FIXED)
    schemas["Record"] = _record(servable)
    schemas["Records"] = _object(
        {"instances": {"type": "array", "minItems": 1, "items": _ref("Record")}}
    )
    answer = _answer(servable)
    version = {"model_name": {"type": "string"}, "model_version": {"type": "string"}}
    schemas["Prediction"] = _object({**answer, **version}, _answer_example(servable))
    schemas["Predictions"] = _object(
        {"predictions": {"type": "array", "items": _object(answer)}, **version}
    )
    return base


def _record(servable: Servable | None) -> dict[str, Any]:
    if servable is None:
        return {"type": "object", "description": "No version serves now, so no feature is known."}
    features = servable.signature.features
    return {
        **_object(
            {feature.name: _feature(feature) for feature in features}, example_record(servable)
        ),
        "additionalProperties": False,
    }


def example_record(servable: Servable) -> Mapping[str, Any]:
    """A record that the servable answers: one that was recorded when it was exported, or blanks."""
    if servable.examples:
        return servable.examples[0].record
    return {feature.name: feature.blank for feature in servable.signature.features}


def _feature(feature: Feature) -> dict[str, Any]:
    described: dict[str, Any] = {"type": feature.type}
    if feature.type == "integer":
        described |= {"minimum": feature.minimum, "maximum": feature.maximum}
    if feature.type == "number":
        described["description"] = f"Finite, and within the range of {feature.dtype}."
    return described


def _answer(servable: Servable | None) -> dict[str, Any]:
    if servable is None:
        return {"prediction": {}}
    signature = servable.signature
    if signature.outputs.value is not None:
        return {"prediction": {"type": "number"}}
    labels = list(signature.class_labels)
    answer: dict[str, Any] = {"prediction": {"enum": labels} if labels else {}}
    if signature.outputs.probabilities is not None:
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        answer["probability"] = {**chance, "description": "That of the prediction."}
        answer["probabilities"] = {"type": "object", "additionalProperties": chance}
        if labels:
            answer["probabilities"] = _object({str(label): chance for label in labels})
    return answer


def _answer_example(servable: Servable | None) -> dict[str, Any] | None:
    if servable is None:
        return None
    row = servable.decoder.record(msgspec.json.encode(example_record(servable)))
    answer = servable.answer([row])[0]
    if isinstance(answer, Exception):
        return None
    version = servable.model_version
    named = NamedAnswer(
        answer.prediction, answer.probability, answer.probabilities, version.name, version.version
    )
    example: dict[str, Any] = msgspec.to_builtins(named)
    return example


def _object(properties: dict[str, Any], example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    return {**described, "example": example} if example else described


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _problem_example(code: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(code).phrase,
        "status": code,
        "detail": _EXPLAINED[code],
    }
    if code == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"field": "mean_radius", "message": "missing"}]
    return example


_FIXED: dict[str, Any] = {
    "Status": {
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
        },
        "required": ["status"],
    },
    "Model": {
        "type": "object",
        "description": "`serving`, `aspired`, `loading` and `last_failure` are null where there is none.",
        "properties": {
            "model_uri": {"type": "string"},
            "serving": {"type": ["object", "null"]},
            "aspired": {"type": ["object", "null"]},
            "loading": {"type": ["object", "null"]},
            "last_failure": {"type": ["object", "null"]},
            "registry": {"type": "object"},
        },
        "required": ["model_uri", "serving", "aspired", "loading", "last_failure", "registry"],
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                    "required": ["field", "message"],
                },
            },
        },
        "required": ["type", "title", "status", "detail"],
    },
}
