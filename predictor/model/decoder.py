"""RowDecoder: JSON bodies to rows. Valid bodies are decoded fast; only invalid ones are read in detail.

msgspec decodes a record into a struct that is generated from the signature. One pass checks names, types
and ranges. If a feature is optional, or its values have several JSON types, a second struct accepts them
all; it is tried when the first one fails. `validation` reads a body that both refuse, and lists every
error in it. It also reads the records of features that msgspec cannot name (with a quote, a backslash or
a control character).

msgspec holds the GIL while it decodes, so a large batch is decoded in pieces, which are cut after objects.
This is safe: `[a]` and `[b]` are both JSON lists only if `[a,b]` is the list of all their elements. A cut
at a wrong place, such as inside a string, leaves a piece that is not a list; then `validation` reads the
whole body.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType, structs

from predictor.errors import RequestError
from predictor.model import validation
from predictor.model.signature import Feature, Row, Value
from predictor.model.validation import Fields, InvalidValue, check_size, parse_value

_JSON_TYPES: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "string": str}
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
_BATCH = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"instances"[ \t\r\n]*:[ \t\r\n]*\[(.*)\][ \t\r\n]*\}[ \t\r\n]*',
    re.DOTALL,
)
_BETWEEN = re.compile(rb"[ \t\r\n]*,")
_PIECE = 65_536  # bytes
_SHORT = 8192  # bytes
_COLON = ord(":")
_MISSING: Any = None | UnsetType
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidValue)


class RowDecoder:
    """Decodes the JSON bodies of one signature."""

    def __init__(
        self,
        features: Sequence[Feature],
        pack: Callable[..., bytes] | None = None,
        in_range: Sequence[Feature] = (),
        ignored: Sequence[str] = (),
        *,
        ignore_unknown: bool = False,
    ) -> None:
        """`pack` turns values into a row; by default a row is a tuple of the values.

        `in_range` are the same features with the ranges of the training data, for `records_in_range`.
        `ignored` are further names that a record may have; with `ignore_unknown`, any name.
        """
        self._pack = pack
        self._features = tuple(features)
        self.fields = Fields(self._features, frozenset(ignored), ignore_unknown)
        """The names and features that a record may have."""
        self._min_bytes = sum(len(f'"{each.name}":0,') for each in self._features)  # of a record
        plain = all(is_plain(feature.name) for feature in self._features)
        self._structs: list[_Strict] = [_Strict(self._features)] if plain else []
        lenient = bool(ignored) or any(map(_has_several_types, self._features))
        if plain and lenient and all(map(is_plain, ignored)):
            self._structs.append(_Lenient(self._features, ignored))
        self._in_range: msgspec.json.Decoder[Any] | None = (
            msgspec.json.Decoder(strict_struct(in_range)) if plain and in_range else None
        )

    def record(self, body: bytes) -> Row:
        """One row from one record. Raises MalformedBody, or InvalidRecord with every error."""
        for struct in self._structs:
            try:
                return self._rows_of(struct, [body])[0]
            except _REFUSED:
                continue
        return self._packed([validation.read_record(body, self.fields)])[0]

    def records_in_range(self, bodies: Sequence[bytes]) -> list[Row] | None:
        """The rows of bodies of one record each, if every value is within its training range.

        None if a value may be outside, or a body may be invalid; then call `records`.
        """
        if self._in_range is None:
            return None
        try:
            rows = self._packed(map(structs.astuple, map(self._in_range.decode, bodies)))
        except _REFUSED:
            return None
        # Every body has at least one colon per feature; see `_Strict.values`.
        exact = count_colons(b"".join(bodies)) == len(bodies) * len(self._features)
        return rows if exact else None

    def records(self, bodies: Sequence[bytes]) -> tuple[list[Row], dict[int, RequestError]]:
        """The rows of the valid bodies, one record each, and the errors of the others by index."""
        for struct in self._structs:
            try:
                return self._rows_of(struct, bodies), {}
            except _REFUSED:
                continue  # the loop below finds the invalid bodies
        rows, errors = [], {}
        for number, body in enumerate(bodies):
            try:
                rows.append(self.record(body))
            except RequestError as error:
                errors[number] = error
        return rows, errors

    def instances(self, body: bytes) -> list[Row]:
        """Rows from `{"instances": [record, …]}`. Raises as `record`, and TooManyRows."""
        try:
            return self._instances(body)
        except _REFUSED:
            rows = self._packed(validation.read_instances(body, self.fields))
            check_size(len(rows), len(self._features), len(body))
            return rows

    def quick_instances(self, body: bytes, max_rows: int) -> list[Row] | None:
        """The same rows, if that is certain to be quick; None for an invalid body, or for far more rows."""
        if len(self._structs) != 1 or len(body) > 2 * max_rows * self._min_bytes:
            return None
        try:
            return self._instances(body)
        except _REFUSED:
            return None

    def _instances(self, body: bytes) -> list[Row]:
        rows: list[Row] = []
        for piece in self._pieces(body):
            rows += self._rows_in(piece, part=len(piece) < len(body))
            check_size(len(rows), len(self._features), len(body))
        return rows

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        """The body; if it is large, lists of its records."""
        batch = _BATCH.fullmatch(body) if len(body) > _PIECE else None
        if batch is None:
            yield body
            return
        whole = memoryview(body)
        start, stop = batch.span(1)
        cut: re.Match[bytes] | None = None
        while start < stop or cut:  # after a last comma, the empty piece is an error
            end = body.find(b"}", start + _PIECE, stop) + 1
            cut = _BETWEEN.match(body, end, stop) if end else None
            yield b"".join((b"[", whole[start : end if cut else stop], b"]"))
            start = cut.end() if cut else stop

    def _rows_in(self, text: bytes, *, part: bool) -> list[Row]:
        """The rows of a whole batch, or of a list that is a part of it. Raises InvalidValue."""
        for struct in self._structs:
            try:
                records = (
                    struct.records.decode(text) if part else struct.instances.decode(text).instances
                )
                values, colons = struct.values(records, len(records))
                rows = self._packed(values)
            except _REFUSED:
                continue
            if count_colons(text) == colons + (not part):
                return rows
        raise InvalidValue("no struct accepts it")

    def _rows_of(self, struct: "_Strict", bodies: Sequence[bytes]) -> list[Row]:
        """The rows of bodies of one record each. Raises one of _REFUSED."""
        values, colons = struct.values(map(struct.record.decode, bodies), len(bodies))
        rows = self._packed(values)
        if count_colons(b"".join(bodies)) != colons:
            raise InvalidValue("a name may be given twice")
        return rows

    def _packed(self, values: Iterable[tuple[Value, ...]]) -> list[Row]:
        if (pack := self._pack) is not None:
            return [pack(*each) for each in values]
        return [*values]


class _Strict:
    """Decodes records of a struct that has each feature once, and one JSON type per feature."""

    def __init__(self, features: Sequence[Feature], record: Any = None) -> None:
        """`record` is another struct of the features."""
        self._width = len(features)
        record = record or strict_struct(features)
        several: Any = Annotated[list[record], msgspec.Meta(min_length=1)]
        many = msgspec.defstruct("Instances", [("instances", several)], forbid_unknown_fields=True)
        self.record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self.records: msgspec.json.Decoder[Any] = msgspec.json.Decoder(several)
        self.instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)

    def values(self, records: Iterable[Any], count: int) -> tuple[Iterable[tuple[Value, ...]], int]:
        """The values of each of `count` records, and how many colons their texts must have.

        The number of colons shows duplicates, because JSON decoders silently keep the last of two equal
        names. A colon in a string has the same effect as a duplicate: `validation` reads the body.
        """
        return map(structs.astuple, records), count * self._width


class _Lenient(_Strict):
    """Also decodes missing values, integers written as floats, booleans as 0 or 1, and ignored fields."""

    def __init__(self, features: Sequence[Feature], ignored: Sequence[str]) -> None:
        super().__init__(features, _lenient_struct(features, ignored))
        self._several = [
            (place, feature, _JSON_TYPES[feature.type])
            for place, feature in enumerate(features)
            if _has_several_types(feature)
        ]

    def values(self, records: Iterable[Any], count: int) -> tuple[list[tuple[Value, ...]], int]:  # noqa: ARG002
        """As in the base class. Raises InvalidValue."""
        colons = 0
        rows = []
        for record in records:
            given = structs.astuple(record)
            colons += len(given) - given.count(UNSET)
            values = [*given[: self._width]]
            for place, feature, json_type in self._several:
                value = values[place]
                if value is None or value is UNSET:  # only an optional feature has these
                    values[place] = feature.missing
                elif type(value) is not json_type:
                    values[place] = parse_value(value, feature)
            rows.append(tuple(values))
        return rows, colons


def count_colons(text: bytes) -> int:
    """The number of colons in a text."""
    # NumPy counts faster than bytes.count, but a call of it takes longer.
    if len(text) < _SHORT:
        return text.count(b":")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON))


def strict_struct(features: Sequence[Feature]) -> type[msgspec.Struct]:
    """A msgspec struct of one record: every feature required, no other name allowed."""
    return msgspec.defstruct(
        "Record",
        [(f"f{i}", _json_type(feature)) for i, feature in enumerate(features)],
        rename={f"f{i}": feature.name for i, feature in enumerate(features)},
        forbid_unknown_fields=True,
        gc=False,  # its values refer to nothing
    )


def _lenient_struct(features: Sequence[Feature], ignored: Sequence[str]) -> type[msgspec.Struct]:
    """A struct that accepts all values of `parse_value`, and the ignored fields."""
    fields: list[Any] = []
    for i, feature in enumerate(features):
        kind = _json_type(feature)
        if feature.type != "number" and _is_number(feature):
            kind |= float
        fields.append((f"f{i}", kind) if feature.required else (f"f{i}", kind | _MISSING, UNSET))
    fields += [(f"i{i}", str | bool | int | float | _MISSING, UNSET) for i in range(len(ignored))]
    names = [*(feature.name for feature in features), *ignored]
    return msgspec.defstruct(
        "LenientRecord",
        fields,
        rename={field[0]: name for field, name in zip(fields, names, strict=True)},
        forbid_unknown_fields=True,
        kw_only=True,
    )


def is_plain(name: str) -> bool:
    """Whether a msgspec field can have this name, and no colon is in it."""
    # A colon in a name would spoil the count that finds duplicates.
    return ":" not in name and not _UNNAMEABLE.search(name)


def _has_several_types(feature: Feature) -> bool:
    return not feature.required or (feature.type != "number" and _is_number(feature))


def _is_number(feature: Feature) -> bool:
    """Whether the graph's input is a number."""
    return feature.dtype not in {"bool", "string"}


def _json_type(feature: Feature) -> Any:
    """The msgspec type of a feature: its JSON type, and the range that fits its dtype."""
    kind = _JSON_TYPES[feature.type]
    if feature.type == "string" and not feature.required:
        # What stands for a missing text is refused: a client that means it sends null.
        return Annotated[kind, msgspec.Meta(pattern=rf"^(?!{re.escape(str(feature.missing))}\Z)")]
    if feature.minimum is None:
        return kind
    return Annotated[kind, msgspec.Meta(ge=feature.minimum, le=feature.maximum)]
