"""What the document says of warnings: an answer has them where a value is outside the training data."""

from typing import Any

WARNING: dict[str, Any] = {
    "type": "object",
    "description": "A value outside the range of the training data: the answer extrapolates.",
    "properties": {
        "feature": {"type": "string"},
        "value": {"type": "number"},
        "minimum": {"type": "number", "description": "The least value in the training data."},
        "maximum": {"type": "number", "description": "The greatest."},
        "message": {"type": "string", "description": "The same, for people."},
    },
    "required": ["feature", "value", "minimum", "maximum", "message"],
}
_WARNINGS = {
    "type": "array",
    "minItems": 1,
    "items": {"$ref": "#/components/schemas/Warning"},
    "description": "Absent where every value is within the range of the training data.",
}
ASKED: dict[str, Any] = {
    "name": "warnings",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether predictions carry `warnings` of values outside the training data.",
}
"""The parameter of `/predict/batch`."""


def with_warnings(prediction: dict[str, Any]) -> dict[str, Any]:
    """The schema of a prediction that may have warnings."""
    return {**prediction, "properties": {**prediction["properties"], "warnings": _WARNINGS}}
