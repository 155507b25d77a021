"""Bodies to rows: the fast way says yes or no, the slow way says what is wrong.

A record is decoded by msgspec into a structure generated from the signature, in one pass that
checks names, types and ranges. Only a body that fails is read again, to name every fault in it.
Names that msgspec cannot give a field (with a quote, a backslash or a control character) are read
the slow way only.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import structs

from predictor import faults
from predictor.signature import Feature, Row

_JSON_TYPES: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "string": str}
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')


class RowDecoder:
    """Decodes the JSON bodies that one signature takes."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        # A colon in a name would spoil the count that finds duplicates.
        self._countable = not any(":" in feature.name for feature in self._features)
        self._fast = not any(_UNNAMEABLE.search(feature.name) for feature in self._features)
        record: Any = structs_for(self._features) if self._fast else dict[str, Any]
        many = msgspec.defstruct(
            "Instances",
            [("instances", Annotated[list[record], msgspec.Meta(min_length=1)])],
            forbid_unknown_fields=True,
        )
        self._record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self._instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)

    def record(self, body: bytes) -> Row:
        """One row from one record. Raises MalformedBody, or InvalidRecord with every fault."""
        try:
            record = self._record.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise faults.of_record(body, self._features) or faults.malformed(error) from None
        if not self._has_no_duplicates(body, 1):
            _refuse(faults.of_record(body, self._features))
        return self._row(record)

    def instances(self, body: bytes) -> list[Row]:
        """Rows from `{"instances": [record, …]}`. Raises as `record` does."""
        try:
            records = self._instances.decode(body).instances
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise faults.of_instances(body, self._features) or faults.malformed(error) from None
        if not self._has_no_duplicates(body, len(records), around=1):
            _refuse(faults.of_instances(body, self._features))
        return [self._row(record) for record in records]

    def _row(self, record: Any) -> Row:
        if self._fast:
            return structs.astuple(record)
        return tuple(record[feature.name] for feature in self._features)

    def _has_no_duplicates(self, body: bytes, records: int, around: int = 0) -> bool:
        # JSON decoders keep the last of two equal names without a word. Every name is known and
        # was found once, so each further one adds a colon; colons in text only cost the slow way.
        return (
            self._fast
            and self._countable
            and body.count(b":") == records * len(self._features) + around
        )


def _refuse(found: Exception | None) -> None:
    if found is not None:
        raise found


def structs_for(features: Sequence[Feature]) -> type[msgspec.Struct]:
    """The msgspec structure of one record: every feature required, no other name allowed."""
    return msgspec.defstruct(
        "Record",
        [(f"f{i}", _annotation(feature)) for i, feature in enumerate(features)],
        rename={f"f{i}": feature.name for i, feature in enumerate(features)},
        forbid_unknown_fields=True,
    )


def _annotation(feature: Feature) -> Any:
    kind = _JSON_TYPES[feature.type]
    if feature.minimum is None:
        return kind
    return Annotated[kind, msgspec.Meta(ge=feature.minimum, le=feature.maximum)]
