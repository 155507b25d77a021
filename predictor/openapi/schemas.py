"""The schemas of the OpenAPI document that are the same whatever serves."""

from typing import Any

FIXED: dict[str, Any] = {
    "Status": {
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "serving_since": {"type": "string", "format": "date-time"},
            "promoted_at": {"type": "string", "format": "date-time"},
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
            "cache": {"type": "object"},
            "registry": {"type": "object"},
        },
        "required": [
            "model_uri",
            "serving",
            "aspired",
            "loading",
            "last_failure",
            "cache",
            "registry",
        ],
    },
    "Delivered": {
        "type": "object",
        "properties": {"outcome": {"enum": ["accepted", "ignored"]}},
        "required": ["outcome"],
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
