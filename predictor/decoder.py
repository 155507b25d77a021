"""Bodies to rows: the fast way says yes or no, the slow way says what is wrong.

A record is decoded by msgspec into a structure generated from the signature, in one pass that
checks names, types and ranges. Only a body that fails is read again, to name every fault in it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import structs

from predictor import faults
from predictor.signature import Feature, Row

_JSON_TYPES: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "string": str}


class RowDecoder:
    """Decodes the JSON bodies that one signature takes."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        record = structs_for(self._features)
        many = msgspec.defstruct(
            "Instances",
            [("instances", Annotated[list[record], msgspec.Meta(min_length=1)])],  # type: ignore[valid-type]
            forbid_unknown_fields=True,
        )
        self._record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self._instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)
        # A colon in a name would spoil the count that finds duplicates.
        self._countable = not any(":" in feature.name for feature in self._features)

    def record(self, body: bytes) -> Row:
        """One row from one record. Raises MalformedBody, or InvalidRecord with every fault."""
        try:
            record = self._record.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise faults.of_record(body, self._features) or faults.malformed(error) from None
        if not self._has_no_duplicates(body, 1):
            self._refuse_duplicates(faults.of_record(body, self._features))
        return structs.astuple(record)

    def instances(self, body: bytes) -> list[Row]:
        """Rows from `{"instances": [record, …]}`. Raises as `record` does."""
        try:
            records = self._instances.decode(body).instances
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise faults.of_instances(body, self._features) or faults.malformed(error) from None
        if not self._has_no_duplicates(body, len(records), around=1):
            self._refuse_duplicates(faults.of_instances(body, self._features))
        return [structs.astuple(record) for record in records]

    def _has_no_duplicates(self, body: bytes, records: int, around: int = 0) -> bool:
        # JSON decoders keep the last of two equal names without a word. Every name is known and
        # was found once, so each further one adds a colon; colons in text only cost the slow way.
        return self._countable and body.count(b":") == records * len(self._features) + around

    @staticmethod
    def _refuse_duplicates(found: Exception | None) -> None:
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
    # msgspec bounds integers by int64; what the dtype allows beyond is cut off there.
    low = max(feature.minimum, -(2**63)) if kind is int else feature.minimum
    high = min(feature.maximum or 0, 2**63 - 1) if kind is int else feature.maximum
    return Annotated[kind, msgspec.Meta(ge=low, le=high)]
