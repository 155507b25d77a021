"""Schemas are made from the structs that routes encode."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from predictor.openapi.schemas import components, doc, ref


class Inner(msgspec.Struct):
    number: Annotated[int, doc("A count.", minimum=0)]


class Outer(msgspec.Struct):
    """First line.

    Second paragraph.
    """

    inner: Inner
    nothing: str | None
    absent: Annotated[str, doc("Left out.")] | UnsetType = UNSET


def test_structs_become_schemas():
    """With the structs in them; a field that may be absent is not required, and one that may be null is."""
    found = components(Outer)
    assert found["Inner"] == {
        "type": "object",
        "properties": {"number": {"type": "integer", "minimum": 0, "description": "A count."}},
        "required": ["number"],
    }
    outer = found["Outer"]
    assert outer["description"] == "First line.\n\nSecond paragraph."
    assert outer["required"] == ["inner", "nothing"]
    assert outer["properties"]["inner"] == ref(Inner) == {"$ref": "#/components/schemas/Inner"}
    assert outer["properties"]["absent"] == {"type": "string", "description": "Left out."}
