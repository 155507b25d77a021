"""The schemas of the OpenAPI document that are the same whatever serves."""

from collections.abc import Mapping, Sequence
from typing import Any

from predictor.openapi.operations import ref

Schema = dict[str, Any]


def an_object(
    properties: Mapping[str, Schema],
    description: str = "",
    *,
    optional: Sequence[str] = (),
    **more: Any,
) -> Schema:
    """The schema of an object that has all of these, but for those that are `optional`."""
    described = {"description": description} if description else {}
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        **described,
        "properties": dict(properties),
        "required": required,
        **more,
    }


def text(description: str = "", **more: Any) -> Schema:
    """The schema of a string."""
    described = {"description": description} if description else {}
    return {"type": "string", **described, **more}


def number(description: str = "", **more: Any) -> Schema:
    """The schema of a number."""
    return {**text(description, **more), "type": "number"}


def or_null(schema: Schema, description: str) -> Schema:
    """The schema of what may be null."""
    return {"anyOf": [schema, {"type": "null"}], "description": description}


MODEL_NAME = {"model_name": text("The registered model's name.")}
VERSION = {
    **MODEL_NAME,
    "model_version": text("The version's number, as the registry has it: a string."),
}
_OK = {"status": {"type": "string", "const": "ok"}}

FIXED: dict[str, Schema] = {
    "Health": an_object(_OK, "The process answers.", examples=[{"status": "ok"}]),
    "Readiness": an_object(
        {
            **_OK,
            **VERSION,
            "serving_since": text("When it took over, here.", format="date-time"),
            "promoted_at": text(
                "When it was promoted, where a tag of the version says so.", format="date-time"
            ),
        },
        "A version serves: this one.",
        optional=["promoted_at"],
    ),
    "Delivered": an_object(
        {
            "outcome": text(
                "`accepted`: the registry is asked at once. `ignored`: it is not about the model that "
                "serves here.",
                enum=["accepted", "ignored"],
            )
        },
        "What became of a webhook's delivery.",
    ),
    "FieldFault": an_object(
        {
            "field": text("Its name; in a batch with its place, as `instances[3].age`."),
            "message": text("What is wrong with it."),
        },
        "One thing that is wrong with one field of a body. `field` is empty for the body itself.",
    ),
    "Problem": an_object(
        {
            "type": text("Always `about:blank`: the status says what kind of problem it is."),
            "title": text("The status in words."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": text("What is wrong and, where that can be said, what to do."),
            "errors": {
                "type": "array",
                "items": ref("FieldFault"),
                "description": "With 422: every fault that was found, each with its field.",
            },
        },
        "What went wrong (RFC 9457, `application/problem+json`).",
        optional=["errors"],
    ),
}
