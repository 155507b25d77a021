"""The OpenAPI document: FastAPI writes the routes, the serving signature writes the schemas."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.openapi import open_inference
from predictor.openapi.explanation import EXPLANATION
from predictor.openapi.operations import ref
from predictor.openapi.schemas import FIXED
from predictor.openapi.warned import WARNING, with_warnings
from predictor.servable import Servable
from predictor.signature import Feature, label_name

_DESCRIPTION = """Predictions from the model version that MLflow's registry names, and from no other.

Every answer says which version computed it. Errors are problem documents (RFC 9457)."""

_REQUEST_ID = "X-Request-ID"
_TAKEN = {
    "description": "What to call the request: 1 to 128 of `A-Z a-z 0-9 . _ ~ : / + = @ -`. Anything else "
    "is replaced. Without it, the trace id of a W3C `traceparent` is taken."
}
_GIVEN = {"description": "What the request is called in every line that is logged about it."}


def document(app: FastAPI, servable: Servable | None, *, recorded: bool = True) -> dict[str, Any]:
    """The whole document, for the version that serves now.

    Unless `recorded`, its example is no record that was recorded with the version, but a blank one.
    """
    base = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
    )
    _name_requests(base)
    schemas = base.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(FIXED)
    schemas.update(EXPLANATION)
    record = example_record(servable, recorded=recorded) if servable else None
    schemas.update(open_inference.schemas(servable, record))
    schemas["Record"] = _record(servable, record)
    instances = {"type": "array", "minItems": 1, "items": ref("Record")}
    schemas["Records"] = {**_object({"instances": instances}), "additionalProperties": False}
    example = _answer_example(servable, record)
    answer = _answer(servable, example)
    version = {"model_name": {"type": "string"}, "model_version": {"type": "string"}}
    schemas["Warning"] = WARNING
    schemas["Prediction"] = with_warnings(_object({**answer, **version}, example))
    explained = {**answer, "explanation": ref("Explanation"), **version}
    schemas["Explained"] = with_warnings(_object(explained))
    several = {"type": "array", "items": with_warnings(_object(answer))}
    schemas["Predictions"] = _object({"predictions": several, **version})
    return base


def _name_requests(base: dict[str, Any]) -> None:
    """Say of every operation that it takes and gives `X-Request-ID`."""
    taken = {"$ref": f"#/components/parameters/{_REQUEST_ID}"}
    given = {_REQUEST_ID: {"$ref": f"#/components/headers/{_REQUEST_ID}"}}
    components, text = base.setdefault("components", {}), {"schema": {"type": "string"}}
    components["parameters"] = {
        _REQUEST_ID: {"name": _REQUEST_ID, "in": "header", **text, **_TAKEN}
    }
    components["headers"] = {_REQUEST_ID: {"required": True, **text, **_GIVEN}}
    for operation in (each for path in base["paths"].values() for each in path.values()):
        operation["parameters"] = [*operation.get("parameters", ()), taken]
        for answer in operation["responses"].values():
            answer["headers"] = {**answer.get("headers", {}), **given}


def _record(servable: Servable | None, example: Mapping[str, Any] | None) -> dict[str, Any]:
    if servable is None:
        return {"type": "object", "description": "No version serves now, so no feature is known."}
    features = servable.signature.features
    return {
        **_object({feature.name: _feature(feature) for feature in features}, example),
        "additionalProperties": False,
    }


def example_record(servable: Servable, *, recorded: bool = True) -> Mapping[str, Any] | None:
    """A record that the servable answers: one that was `recorded` at its export, or blanks.

    None where neither is known to run.
    """
    if servable.examples and recorded:
        return servable.examples[0].record
    if servable.signature.outputs.unproved:
        return None
    return {feature.name: feature.blank for feature in servable.signature.features}


def _feature(feature: Feature) -> dict[str, Any]:
    described: dict[str, Any] = {"type": feature.type}
    if feature.minimum is not None:
        described |= {"minimum": feature.minimum, "maximum": feature.maximum}
    if feature.type == "number":
        described["description"] = f"Finite, and within the range of {feature.dtype}."
    return described


def _answer(servable: Servable | None, example: Mapping[str, Any] | None) -> dict[str, Any]:
    if servable is None:
        return {"prediction": {}}
    signature = servable.signature
    if signature.outputs.value is not None:
        number = {"type": "number"}
        several = example is not None and isinstance(example["prediction"], list)
        return {"prediction": {"type": "array", "items": number} if several else number}
    labels = list(signature.class_labels)
    answer: dict[str, Any] = {"prediction": {"enum": labels} if labels else {}}
    if signature.outputs.probabilities is not None:
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        answer["probability"] = {**chance, "description": "That of the prediction."}
        answer["probabilities"] = {"type": "object", "additionalProperties": chance}
        if labels:
            answer["probabilities"] = _object({label_name(label): chance for label in labels})
    return answer


def _answer_example(
    servable: Servable | None, record: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if servable is None or record is None:
        return None
    row = servable.decoder.record(msgspec.json.encode(record))
    (body,) = servable.encoder.each(servable.answer([row]), servable.ranges.outside([row]))
    if isinstance(body, Exception):
        return None
    example: dict[str, Any] = msgspec.json.decode(body)
    return example


def _object(properties: dict[str, Any], example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    return {**described, "example": example} if example else described
