"""MLflow's scoring protocol in the document: its routes' bodies, answers and errors."""

import csv
import re
from io import StringIO
from typing import Any

from predictor.errors import BodyTooLarge
from predictor.model.servable import Servable
from predictor.model.signature import Feature
from predictor.openapi.operations import ref

_EXPLAINED = {
    400: "Not one of the forms, not what the signature of the serving version takes, or a value that it "
    "cannot take: `message` says which column and row.",
    401: "No key that may ask this came with the request.",
    404: "`MLmodel` does not say.",
    413: "The body is larger than the limit.",
    503: "No version serves, or too much is asked. Try again after `Retry-After` seconds.",
}
_EXAMPLES = {
    400: {
        "error_code": "INVALID_PARAMETER_VALUE",
        "sqlstate": "KAM01",
        "error_class": "SCHEMA_ENFORCEMENT_FAILED",
        "message": "Failed to enforce schema. Error: Model is missing inputs ['mean_radius'].",
    },
    401: {"error_code": "UNAUTHENTICATED", "message": _EXPLAINED[401]},
    404: {"error_code": "ENDPOINT_NOT_FOUND", "message": _EXPLAINED[404]},
    413: {
        "error_code": "BAD_REQUEST",
        "sqlstate": "KAM00",
        "error_class": "INVALID_PARAMETER_VALUE",
        "message": str(BodyTooLarge(1_048_576)),
    },
    503: {
        "error_code": "TEMPORARILY_UNAVAILABLE",
        "message": "no version is in Production",
    },
}
_TEXT = {"type": "string"}
_CELLS = {
    "number": r"-?[0-9]{1,6}\.[0-9]{1,6}",
    "integer": "[0-9]{1,2}",
    "boolean": "(true|false)",
    "string": '[^",\n]*',
}
_NUMBER_IN_TEXT = {**_TEXT, "pattern": r"^-?[0-9]{1,6}(\.[0-9]{1,6})?$"}


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {
        code: {
            "description": _EXPLAINED[code],
            "content": {
                "application/json": {"schema": ref("ScoringError"), "example": _EXAMPLES[code]}
            },
        }
        for code in codes
    }


def _said(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "OK", **content}}


PING = _said({"content": {"text/plain": {"schema": _TEXT}}}) | _errors(503)
VERSION = _said({"content": {"text/plain": {"schema": _TEXT}}}) | _errors(404, 503)
REFUSED = _errors(401)[401]
TAKES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ref("Invocation")},
            "text/csv": {"schema": ref("InvocationCsv")},
        },
    }
}
INVOCATIONS = (
    _said({"content": {"application/json": {"schema": ref("Scored")}}})
    | _errors(400, 413, 503)
    | {
        415: {
            "description": "Neither JSON nor CSV in UTF-8.",
            "content": {"text/plain": {"schema": _TEXT}},
        }
    }
)
FIXED: dict[str, Any] = {
    "ScoringError": {
        "type": "object",
        "description": "As MLflow writes its errors.",
        "properties": dict.fromkeys(("error_code", "message", "sqlstate", "error_class"), _TEXT),
        "required": ["error_code", "message"],
    },
    "Scored": {
        "type": "object",
        "description": "What MLflow's `python_function` answers for the same version: a list of labels or "
        "values, or of objects of outputs, or one object of lists of outputs.",
        "properties": {
            "predictions": {"anyOf": [{"type": "array", "items": {}}, {"type": "object"}]}
        },
        "required": ["predictions"],
    },
}


def schemas(servable: Servable | None) -> dict[str, Any]:
    """What `/invocations` takes, for the version that serves now, and what it answers."""
    if servable is None:
        return {**FIXED, "Invocation": {"type": "object"}, "InvocationCsv": _TEXT}
    features = servable.signature.features
    record = {
        "type": "object",
        "description": "Further members are ignored.",
        "properties": {feature.name: _value(feature) for feature in features},
        "required": [feature.name for feature in features if feature.required],
    }
    records = {"type": "array", "minItems": 1, "items": ref("ScoringRecord")}
    forms = {
        "dataframe_split": _split(features),
        "dataframe_records": records,
        "instances": records,
        "inputs": records,
    }
    invocation = {
        "type": "object",
        "description": "Exactly one of the four forms. Columns may come in any order.",
        "oneOf": [
            {"properties": {form: schema, "params": {}}, "required": [form]}
            for form, schema in forms.items()
        ],
    }
    return {
        **FIXED,
        "ScoringRecord": record,
        "Invocation": invocation,
        "InvocationCsv": _csv(features),
    }


def _split(features: tuple[Feature, ...]) -> dict[str, Any]:
    names = [feature.name for feature in features]
    alike = {str(value): value for value in map(_value, features)}
    width = {"minItems": len(names), "maxItems": len(names)}
    row = {"type": "array", "items": {"anyOf": [*alike.values()]}, **width}
    return {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": _TEXT, "enum": [names]},
            "data": {"type": "array", "minItems": 1, "items": row},
        },
        "required": ["columns", "data"],
        "additionalProperties": False,
    }


def _csv(features: tuple[Feature, ...]) -> dict[str, Any]:
    header = StringIO()
    csv.writer(header, lineterminator="\n").writerow(feature.name for feature in features)
    plain = re.sub(r"([.*+?^${}()|\[\]\\/])", r"\\\1", header.getvalue())
    row = ",".join(
        _CELLS[feature.type] if feature.required else f"({_CELLS[feature.type]})?"
        for feature in features
    )
    return {
        **_TEXT,
        "description": "A header with the names, in any order, then rows; such as these.",
        "pattern": f"^{plain}({row}\n)+$",
    }


def _value(feature: Feature) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": feature.type if feature.required else [feature.type, "null"]}
    if feature.minimum is not None:
        kind |= {"minimum": feature.minimum, "maximum": feature.maximum}
        return {"anyOf": [kind, _NUMBER_IN_TEXT]} if feature.type == "number" else kind
    return kind
