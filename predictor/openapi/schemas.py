"""Schemas of the OpenAPI document: made from structs, or built for what depends on the serving version."""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import Annotated, Any, NamedTuple

import msgspec

from predictor.errors import PredictorError

Schema = dict[str, Any]


def doc(description: str, **keywords: Any) -> msgspec.Meta:
    """Describe a field of a struct for the document; `keywords` are further ones of its schema."""
    return msgspec.Meta(description=description, extra_json_schema=keywords or None)


DateTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Versioned(msgspec.Struct, frozen=True):
    """A model version."""

    model_name: Annotated[str, doc("The registered model's name.")]
    model_version: Annotated[str, doc("The version's number, as the registry has it: a string.")]


class Part(NamedTuple):
    """One protocol's part of the document. The keys of all three mappings are names of schemas.

    `examples` are examples of request and response bodies, by name, each with `summary` and `value`.
    `refusals` are the errors of faulty request bodies, shown under 422.
    """

    schemas: Mapping[str, Schema]
    examples: Mapping[str, Mapping[str, Any]] = {}
    refusals: Mapping[str, PredictorError] = {}


def components(*bodies: type) -> dict[str, Schema]:
    """The schemas of these structs, and of the structs in them, by name. Docstrings are descriptions."""
    _, schemas = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        del schema["title"]
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    return schemas


def ref(body: type | str) -> Schema:
    """A reference to the schema of a struct, or to one by its name."""
    name = body if isinstance(body, str) else body.__name__
    return {"$ref": f"#/components/schemas/{name}"}


def header(name: str) -> Schema:
    """A reference to a header of the document, by its name."""
    return {"$ref": f"#/components/headers/{name}"}


def an_object(
    properties: Mapping[str, Schema],
    description: str = "",
    *,
    optional: Sequence[str] = (),
    **keywords: Any,
) -> Schema:
    """The schema of an object; all properties are required, except the `optional` ones."""
    described = {"description": description} if description else {}
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        **described,
        "properties": dict(properties),
        "required": required,
        **keywords,
    }


def number(description: str = "", **keywords: Any) -> Schema:
    """The schema of a number."""
    return {"type": "number", **({"description": description} if description else {}), **keywords}
