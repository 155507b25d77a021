"""Bodies to rows: the fast way says yes or no, the slow way says what is wrong.

A record is decoded by msgspec into a structure generated from the signature, in one pass that
checks names, types and ranges. Only a body that fails is read again, to name every fault in it.
Names that msgspec cannot give a field (with a quote, a backslash or a control character) are read
the slow way only.

msgspec lets nothing else run while it decodes, so a large batch is decoded in pieces, cut where a
record seems to end. JSON makes that safe: `[a]` and `[b]` are lists if, and only if, `[a,b]` is
their elements one after the other. A cut that was none (in a string, say) leaves a piece that is
no list, and the body is read the slow way.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import structs

from predictor.errors import RequestError
from predictor.records import faults
from predictor.signature import Feature, Row

_JSON_TYPES: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "string": str}
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
_FRAME = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"instances"[ \t\r\n]*:[ \t\r\n]*\[(.*)\][ \t\r\n]*\}[ \t\r\n]*',
    re.DOTALL,
)
_BETWEEN = re.compile(rb"[ \t\r\n]*,")
_PIECE = 65_536  # bytes
_FEW = 8192  # bytes
_COLON = ord(":")


class RowDecoder:
    """Decodes the JSON bodies that one signature takes."""

    def __init__(
        self,
        features: Sequence[Feature],
        pack: Callable[..., bytes] | None = None,
        usual: Sequence[Feature] = (),
    ) -> None:
        """`pack` makes a row of the values, where that is not a tuple of them.

        `usual` are the same features with the narrower ranges that `within` looks for.
        """
        self._pack = pack
        self._features = tuple(features)
        # A colon in a name would spoil the count that finds duplicates.
        self._countable = not any(":" in feature.name for feature in self._features)
        self._fast = not any(_UNNAMEABLE.search(feature.name) for feature in self._features)
        record: Any = structs_for(self._features) if self._fast else dict[str, Any]
        narrow: Any = structs_for(usual) if self._fast and self._countable and usual else None
        self._usual = msgspec.json.Decoder(narrow) if narrow else None
        several: Any = Annotated[list[record], msgspec.Meta(min_length=1)]
        many = msgspec.defstruct("Instances", [("instances", several)], forbid_unknown_fields=True)
        self._record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self._records: msgspec.json.Decoder[Any] = msgspec.json.Decoder(several)
        self._instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)

    def record(self, body: bytes) -> Row:
        """One row from one record. Raises MalformedBody, or InvalidRecord with every fault."""
        try:
            record = self._record.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise faults.of_record(body, self._features) or faults.malformed(error) from None
        if not self._has_no_duplicates(body, 1, around=0):
            _refuse(faults.of_record(body, self._features))
        return self._row(record)

    def within(self, bodies: Sequence[bytes]) -> list[Row] | None:
        """The rows of bodies that are one record each, if every value is within its usual range.

        None says that it is not known: `records` tells what is in the bodies.
        """
        if self._usual is None:
            return None
        try:
            rows = self._all_rows(map(self._usual.decode, bodies))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        return rows if self._are_records(bodies) else None

    def records(self, bodies: Sequence[bytes]) -> tuple[list[Row], dict[int, RequestError]]:
        """The rows of the bodies that are one record each, and by their places why others are not."""
        if self._fast and self._countable:
            try:
                rows = self._all_rows(map(self._record.decode, bodies))
                if self._are_records(bodies):
                    return rows, {}
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                pass  # which of them it is, is found below
        rows, found = [], {}
        for number, body in enumerate(bodies):
            try:
                rows.append(self.record(body))
            except RequestError as error:
                found[number] = error
        return rows, found

    def _are_records(self, bodies: Sequence[bytes]) -> bool:
        # See `_has_no_duplicates`: none has fewer colons than it has features.
        return _colons(b"".join(bodies)) == len(bodies) * len(self._features)

    def instances(self, body: bytes) -> list[Row]:
        """Rows from `{"instances": [record, …]}`. Raises as `record` does."""
        if not self._fast:  # what msgspec then gives was checked for nothing
            _refuse(faults.of_instances(body, self._features))
        for pieces in (self._pieces, self._whole):
            try:
                rows, sure = self._rows(pieces(body))
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                _refuse(faults.of_instances(body, self._features))
                failed = error  # without a fault, a cut was none
            else:
                if not sure:
                    _refuse(faults.of_instances(body, self._features))
                return rows
        raise faults.malformed(failed)

    def _rows(self, pieces: Iterable[tuple[bytes, list[Any], int]]) -> tuple[list[Row], bool]:
        """All rows, and whether it is sure that no name is given twice."""
        rows: list[Row] = []
        sure = True
        for piece, records, around in pieces:
            sure = sure and self._has_no_duplicates(piece, len(records), around)
            rows += self._all_rows(records)
        return rows, sure

    def _pieces(self, body: bytes) -> Iterator[tuple[bytes, list[Any], int]]:
        """Part of the body, its records, and how many colons in it are not between them."""
        frame = _FRAME.fullmatch(body) if len(body) > _PIECE else None
        if frame is None:
            yield from self._whole(body)
            return
        whole = memoryview(body)
        start, stop = frame.span(1)
        cut: re.Match[bytes] | None = None
        while start < stop or cut:  # after a comma, an empty piece is a fault
            end = body.find(b"}", start + _PIECE, stop) + 1
            cut = _BETWEEN.match(body, end, stop) if end else None
            piece = b"".join((b"[", whole[start : end if cut else stop], b"]"))
            start = cut.end() if cut else stop
            yield piece, self._records.decode(piece), 0

    def _whole(self, body: bytes) -> Iterator[tuple[bytes, list[Any], int]]:
        yield body, self._instances.decode(body).instances, 1

    def _all_rows(self, records: Iterable[Any]) -> list[Row]:
        if self._fast and (pack := self._pack) is not None:
            return [pack(*structs.astuple(record)) for record in records]
        return [self._row(record) for record in records]

    def _row(self, record: Any) -> Row:
        if self._fast:
            values = structs.astuple(record)
        else:
            values = tuple(record[feature.name] for feature in self._features)
        return values if self._pack is None else self._pack(*values)

    def _has_no_duplicates(self, body: bytes, records: int, around: int) -> bool:
        # JSON decoders keep the last of two equal names without a word. Every name is known and
        # was found once, so each further one adds a colon; colons in text only cost the slow way.
        return (
            self._fast
            and self._countable
            and _colons(body) == records * len(self._features) + around
        )


def _colons(text: bytes) -> int:
    # bytes.count looks at one byte at a time, NumPy at many, but takes a while to begin.
    if len(text) < _FEW:
        return text.count(b":")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON))


def _refuse(found: Exception | None) -> None:
    if found is not None:
        raise found


def structs_for(features: Sequence[Feature]) -> type[msgspec.Struct]:
    """The msgspec structure of one record: every feature required, no other name allowed."""
    return msgspec.defstruct(
        "Record",
        [(f"f{i}", json_type(feature)) for i, feature in enumerate(features)],
        rename={f"f{i}": feature.name for i, feature in enumerate(features)},
        forbid_unknown_fields=True,
    )


def json_type(feature: Feature) -> Any:
    """What msgspec takes for a value of this feature: its JSON type, and the range that fits."""
    kind = _JSON_TYPES[feature.type]
    if feature.minimum is None:
        return kind
    return Annotated[kind, msgspec.Meta(ge=feature.minimum, le=feature.maximum)]
