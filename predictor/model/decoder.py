"""Bodies to rows: the fast way says yes or no, the slow way says what is wrong.

A record is decoded by msgspec into a structure generated from the signature, in one pass that
checks names, types and ranges. Where a feature may be missing, or a value may be written in more than
one way, a record that this structure does not take is tried with a second one that takes them all.
Only a body that fails is read again, to name every fault in it. Names that msgspec cannot give a field
(with a quote, a backslash or a control character) are read the slow way only.

msgspec lets nothing else run while it decodes, so a large batch is decoded in pieces, cut where a
record seems to end. JSON makes that safe: `[a]` and `[b]` are lists if, and only if, `[a,b]` is
their elements one after the other. A cut that was none (in a string, say) leaves a piece that is
no list, and the body is read the slow way.
"""

import math
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
_FRAME = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"instances"[ \t\r\n]*:[ \t\r\n]*\[(.*)\][ \t\r\n]*\}[ \t\r\n]*',
    re.DOTALL,
)
_BETWEEN = re.compile(rb"[ \t\r\n]*,")
_PIECE = 65_536  # bytes
_FEW = 8192  # bytes
_COLON = ord(":")
_MISSING: Any = None | UnsetType
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidValue)


class RowDecoder:
    """Decodes the JSON bodies that one signature takes."""

    def __init__(
        self,
        features: Sequence[Feature],
        pack: Callable[..., bytes] | None = None,
        usual: Sequence[Feature] = (),
        ignored: Sequence[str] = (),
        *,
        ignore_unknown: bool = False,
    ) -> None:
        """`pack` makes a row of the values, where that is not a tuple of them.

        `usual` are the same features with the narrower ranges that `within` looks for. `ignored` are
        further names that a record may have; with `ignore_unknown`, any.
        """
        self._pack = pack
        self._features = tuple(features)
        self.fields = Fields(self._features, frozenset(ignored), ignore_unknown)
        """What the members of a record may be."""
        plain = all(_is_plain(feature.name) for feature in self._features)
        self._forms: list[_Form] = [_Form(self._features)] if plain else []
        loose = bool(ignored) or any(map(_has_several_forms, self._features))
        if plain and loose and all(map(_is_plain, ignored)):
            self._forms.append(_LooseForm(self._features, ignored))
        narrow: Any = structs_for(usual) if plain and usual else None
        self._usual = msgspec.json.Decoder(narrow) if narrow else None

    def record(self, body: bytes) -> Row:
        """One row from one record. Raises MalformedBody, or InvalidRecord with every fault."""
        for form in self._forms:
            try:
                return self._rows_of(form, [body])[0]
            except _REFUSED:
                continue
        return self._packed([validation.read_record(body, self.fields)])[0]

    def within(self, bodies: Sequence[bytes]) -> list[Row] | None:
        """The rows of bodies that are one record each, if every value is within its usual range.

        None says that it is not known: `records` tells what is in the bodies.
        """
        if self._usual is None:
            return None
        try:
            rows = self._packed(map(structs.astuple, map(self._usual.decode, bodies)))
        except _REFUSED:
            return None
        # See `_Form.colons`: none has fewer colons than it has features.
        sure = _colons(b"".join(bodies)) == len(bodies) * len(self._features)
        return rows if sure else None

    def records(self, bodies: Sequence[bytes]) -> tuple[list[Row], dict[int, RequestError]]:
        """The rows of the bodies that are one record each, and by their places why others are not."""
        for form in self._forms:
            try:
                return self._rows_of(form, bodies), {}
            except _REFUSED:
                continue  # which of them it is, is found below
        rows, found = [], {}
        for number, body in enumerate(bodies):
            try:
                rows.append(self.record(body))
            except RequestError as error:
                found[number] = error
        return rows, found

    def instances(self, body: bytes) -> list[Row]:
        """Rows from `{"instances": [record, …]}`. Raises as `record` does."""
        rows: list[Row] = []
        try:
            for piece in self._pieces(body):
                rows += self._rows_in(piece, part=len(piece) < len(body))
                check_size(len(rows), len(self._features), len(body))
        except _REFUSED:
            rows = self._packed(validation.read_instances(body, self.fields))
            check_size(len(rows), len(self._features), len(body))
        return rows

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        """The body; or lists of its records, where it is large."""
        frame = _FRAME.fullmatch(body) if len(body) > _PIECE else None
        if frame is None:
            yield body
            return
        whole = memoryview(body)
        start, stop = frame.span(1)
        cut: re.Match[bytes] | None = None
        while start < stop or cut:  # after a comma, an empty piece is a fault
            end = body.find(b"}", start + _PIECE, stop) + 1
            cut = _BETWEEN.match(body, end, stop) if end else None
            yield b"".join((b"[", whole[start : end if cut else stop], b"]"))
            start = cut.end() if cut else stop

    def _rows_in(self, text: bytes, *, part: bool) -> list[Row]:
        """The rows of a whole body of several records, or of a list that is part of it."""
        for form in self._forms:
            try:
                records = (
                    form.records.decode(text) if part else form.instances.decode(text).instances
                )
                values, colons = form.values(records, len(records))
                rows = self._packed(values)
            except _REFUSED:
                continue
            if _colons(text) == colons + (not part):
                return rows
        raise InvalidValue("read it the slow way")

    def _rows_of(self, form: "_Form", bodies: Sequence[bytes]) -> list[Row]:
        """The rows of bodies that are one record each. Raises one of _REFUSED."""
        values, colons = form.values(map(form.record.decode, bodies), len(bodies))
        rows = self._packed(values)
        if _colons(b"".join(bodies)) != colons:
            raise InvalidValue("a name may be given twice")
        return rows

    def _packed(self, values: Iterable[tuple[Value, ...]]) -> list[Row]:
        if (pack := self._pack) is not None:
            return [pack(*each) for each in values]
        return [*values]


class _Form:
    """One way to write records: each feature once, and each value of its own type."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._decoders(structs_for(features))
        self._width = len(features)

    def _decoders(self, record: Any) -> None:
        several: Any = Annotated[list[record], msgspec.Meta(min_length=1)]
        many = msgspec.defstruct("Instances", [("instances", several)], forbid_unknown_fields=True)
        self.record: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self.records: msgspec.json.Decoder[Any] = msgspec.json.Decoder(several)
        self.instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)

    def values(self, records: Iterable[Any], count: int) -> tuple[Iterable[tuple[Value, ...]], int]:
        """The values of each of so many records, and how many colons their texts have.

        JSON decoders keep the last of two equal names without a word. Every name is known and was
        counted once, so each further one adds a colon; colons in text only cost the slow way.
        """
        return map(structs.astuple, records), count * self._width


class _LooseForm(_Form):
    """All ways to write records: values that are missing, whole numbers as floats, ignored fields."""

    def __init__(self, features: Sequence[Feature], ignored: Sequence[str]) -> None:
        self._decoders(_loose_structs(features, ignored))
        self._width = len(features)
        self._several = [
            (place, feature, _JSON_TYPES[feature.type])
            for place, feature in enumerate(features)
            if _has_several_forms(feature)
        ]

    def values(self, records: Iterable[Any], count: int) -> tuple[list[tuple[Value, ...]], int]:  # noqa: ARG002
        """As above. Raises InvalidValue."""
        colons = 0
        rows = []
        for record in records:
            given = structs.astuple(record)
            colons += len(given) - given.count(UNSET)
            values = [*given[: self._width]]
            for place, feature, plain in self._several:
                value = values[place]
                if value is None or value is UNSET:  # as only one that may be missing can be
                    values[place] = math.nan
                elif type(value) is not plain:
                    values[place] = parse_value(value, feature)
            rows.append(tuple(values))
        return rows, colons


def _colons(text: bytes) -> int:
    # bytes.count looks at one byte at a time, NumPy at many, but takes a while to begin.
    if len(text) < _FEW:
        return text.count(b":")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON))


def structs_for(features: Sequence[Feature]) -> type[msgspec.Struct]:
    """The msgspec structure of one record: every feature required, no other name allowed."""
    return msgspec.defstruct(
        "Record",
        [(f"f{i}", json_type(feature)) for i, feature in enumerate(features)],
        rename={f"f{i}": feature.name for i, feature in enumerate(features)},
        forbid_unknown_fields=True,
    )


def _loose_structs(features: Sequence[Feature], ignored: Sequence[str]) -> type[msgspec.Struct]:
    """The same, with all values that `parse_value` takes, and with fields that are ignored."""
    fields: list[Any] = []
    for i, feature in enumerate(features):
        kind = json_type(feature)
        if feature.type != "number" and _is_number(feature):
            kind |= float
        fields.append((f"f{i}", kind) if feature.required else (f"f{i}", kind | _MISSING, UNSET))
    fields += [(f"i{i}", str | bool | int | float | _MISSING, UNSET) for i in range(len(ignored))]
    names = [*(feature.name for feature in features), *ignored]
    return msgspec.defstruct(
        "LooseRecord",
        fields,
        rename={field[0]: name for field, name in zip(fields, names, strict=True)},
        forbid_unknown_fields=True,
        kw_only=True,
    )


def _is_plain(name: str) -> bool:
    # A colon in a name would spoil the count that finds duplicates.
    return ":" not in name and not _UNNAMEABLE.search(name)


def _has_several_forms(feature: Feature) -> bool:
    return not feature.required or (feature.type != "number" and _is_number(feature))


def _is_number(feature: Feature) -> bool:
    """Whether the graph takes it as a number."""
    return feature.dtype not in {"bool", "string"}


def json_type(feature: Feature) -> Any:
    """What msgspec takes for a value of this feature: its JSON type, and the range that fits."""
    kind = _JSON_TYPES[feature.type]
    if feature.minimum is None:
        return kind
    return Annotated[kind, msgspec.Meta(ge=feature.minimum, le=feature.maximum)]
