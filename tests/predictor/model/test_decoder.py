"""Bodies to rows: exactly what was sent, or every fault by name, and never another error."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from predictor.errors import InvalidRecord, MalformedBody, RequestError
from predictor.model import validation as faults
from predictor.model.decoder import RowDecoder
from predictor.model.signature import Feature, Outputs, Port, Signature
from predictor.model.validation import Fields

FLOAT32 = float(np.finfo(np.float32).max)


def number(name, dtype="float32", limit=FLOAT32):
    return Feature(name, "number", dtype, -limit, limit)


def integer(name, dtype="int64"):
    limits = np.iinfo(dtype)
    return Feature(name, "integer", dtype, int(limits.min), min(int(limits.max), 2**63 - 1))


MIXED = (
    number("mean_radius"), integer("age", "uint8"), Feature("smoker", "boolean", "bool"),
    Feature("note", "string", "string"),
)  # fmt: skip
OPTIONAL = (
    replace(number("mean_radius"), required=False), integer("age", "uint8"),
    Feature("smoker", "boolean", "float32", required=False), Feature("note", "string", "string"),
)  # fmt: skip
NUMBERS = (number("mean_radius"), number("area.error"), number("worst size"))
GOOD = {"mean_radius": 17.99, "age": 40, "smoker": True, "note": "a:b"}

values = st.fixed_dictionaries(
    {
        "mean_radius": st.floats(-FLOAT32, FLOAT32) | st.integers(-(2**53), 2**53),
        "age": st.integers(0, 255),
        "smoker": st.booleans(),
        "note": st.text(st.characters(exclude_categories=["Cs"])),
    }
)


def refused(body, features=MIXED):
    """The faults of a body as {field: message}; fails if it is taken, or not JSON."""
    with pytest.raises(InvalidRecord) as caught:
        RowDecoder(features).record(body if isinstance(body, bytes) else json.dumps(body).encode())
    return {error.field: error.message for error in caught.value.errors}


@given(values, st.booleans())
def test_a_valid_record_becomes_its_row(record, escaped):
    """In the features' order, whatever the order, spaces or escapes of the text."""
    shuffled = dict(reversed(record.items()))
    body = json.dumps(shuffled, ensure_ascii=escaped, indent=1 if escaped else None).encode()
    row = RowDecoder(MIXED).record(body)
    assert row == tuple(record[feature.name] for feature in MIXED)
    assert [type(value) for value in row] == [float, int, bool, str]


@given(st.lists(st.floats(-FLOAT32, FLOAT32), min_size=3, max_size=3))
def test_a_number_reaches_the_graph_as_its_float32(sent):
    """Bit for bit what float32(value) is, through text and back."""
    body = json.dumps(dict(zip([f.name for f in NUMBERS], sent, strict=True))).encode()
    row = RowDecoder(NUMBERS).record(body)
    graph = Signature(NUMBERS, (Port("X", "tensor(float)", (None, 3)),), Outputs(value="y"))
    fed = graph.feed([row])["X"]
    assert fed.tobytes() == np.array([sent], np.float64).astype(np.float32).tobytes()
    assert np.isfinite(fed).all()


@given(st.lists(values, min_size=1, max_size=5))
def test_a_batch_becomes_its_rows(records):
    """In their order."""
    rows = RowDecoder(MIXED).instances(json.dumps({"instances": records}).encode())
    assert rows == [tuple(record[feature.name] for feature in MIXED) for record in records]


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("mean_radius", "null", "expected a number, got null"),
        ("mean_radius", '"17.99"', "expected a number, got a string"),
        ("mean_radius", "true", "expected a number, got a boolean"),
        ("mean_radius", "[1]", "expected a number, got a list"),
        ("mean_radius", "[]", "expected a number, got a list"),
        ("mean_radius", "{}", "expected a number, got an object"),
        ("mean_radius", '{"a": {"b": 1}}', "expected a number, got an object"),
        ("mean_radius", "NaN", "not a finite number"),
        ("mean_radius", "Infinity", "not a finite number"),
        ("mean_radius", "-Infinity", "not a finite number"),
        ("mean_radius", "1e400", "not a finite number"),
        ("mean_radius", "-1e400", "not a finite number"),
        ("mean_radius", "9" * 100_000, "not a finite number"),
        ("mean_radius", "1e39", "does not fit float32"),
        ("mean_radius", "-3.5e38", "does not fit float32"),
        ("mean_radius", "9" * 39, "does not fit float32"),
        ("mean_radius", "9" * 399, "does not fit float32"),
        ("age", "1.5", "expected an integer, got a number with a fraction"),
        ("age", "1e-1", "expected an integer, got a number with a fraction"),
        ("age", "256.0", "does not fit uint8: expected 0 to 255"),
        ("age", "9007199254740993.0", "not exact"),
        ("age", "-1", "does not fit uint8: expected 0 to 255"),
        ("age", "256", "does not fit uint8: expected 0 to 255"),
        ("age", "1" + "0" * 5000, "not a finite number"),
        ("age", "true", "expected an integer, got a boolean"),
        ("age", '"1"', "expected an integer, got a string"),
        ("smoker", "1", "expected true or false, got a number"),
        ("smoker", '"true"', "expected true or false, got a string"),
        ("smoker", "null", "expected true or false, got null"),
        ("note", "1", "expected a string, got a number"),
        ("note", "null", "expected a string, got null"),
        ("note", "[]", "expected a string, got a list"),
        ("note", r'"\ud800"', "not Unicode text"),
        ("note", r'"a\udc00b"', "not Unicode text"),
    ],
)
def test_one_wrong_value_is_refused_by_its_name(field, text, message):
    """And nothing else of the record is complained of, alone and in a batch."""
    rest = {name: value for name, value in GOOD.items() if name != field}
    body = json.dumps(rest)[:-1] + f', "{field}": {text}}}'
    found = refused(body.encode())
    assert list(found) == [field]
    assert message in found[field]
    many = f'{{"instances": [{json.dumps(GOOD)}, {body}]}}'.encode()
    with pytest.raises(InvalidRecord) as caught:
        RowDecoder(MIXED).instances(many)
    assert [error.field for error in caught.value.errors] == [f"instances[1].{field}"]


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_feature_is_named(name):
    """Whichever it is."""
    assert refused({k: v for k, v in GOOD.items() if k != name}) == {name: "missing"}


@pytest.mark.parametrize("name", ["x", "", "Mean_Radius", "mean_radius ", "é", "\U0001f600", "a:b"])
def test_an_unknown_feature_is_named(name):
    """Nothing is ignored without a word: it may have been meant."""
    assert refused({**GOOD, name: 1}) == {name: "unknown feature"}


@pytest.mark.parametrize(
    "name", ['"mean_radius"', r'"\u006dean_radius"', r'"mean_\u0072adius"'], ids=["plain", "m", "r"]
)
@pytest.mark.parametrize("last", [True, False])
def test_a_duplicate_is_refused_however_it_is_written(name, last):
    """JSON readers keep the last one; which one a client meant is not guessed."""
    plain = json.dumps(GOOD)
    body = f"{plain[:-1]}, {name}: 1}}" if last else f"{{{name}: 1, {plain[1:]}"
    assert refused(body.encode()) == {"mean_radius": "given twice"}


def test_every_error_of_a_record_is_reported_at_once():
    """Nobody has to send it four times to find four mistakes."""
    found = refused(b'{"mean_radius": "x", "age": 1, "age": 2, "extra": 0, "smoker": null}')
    assert list(found) == ["mean_radius", "age", "smoker", "note", "extra"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[", b'{"mean_radius": }', b'{"mean_radius": 1,}', b"{} {}", b"nul",
        b'{"mean_radius": 01}', b'{"mean_radius": .5}', b'{"mean_radius": 1.}',
        b'{"mean_radius": +1}', b'{"mean_radius": 0x10}', b"{'mean_radius': 1}",
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("utf-32"), b'{"note": "\xff"}', b'{"note": "\xed\xa0\x80"}',
        b'{"note": "\t"}', b"\x00", b"[" * 100_000, b'{"mean_radius": ' + b"[" * 100_000,
        b'{"a":' * 100_000, b'{"instances": ' + b"[" * 100_000, b"\xff" * 10,
        json.dumps(GOOD).encode() + b"\x00",
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_malformed(body):
    """Truncated, in another encoding, or nested 100,000 deep: one error, for one record or many."""
    for features in (MIXED, NUMBERS):
        with pytest.raises(MalformedBody):
            RowDecoder(features).record(body)
        with pytest.raises(MalformedBody):
            RowDecoder(features).instances(body)


@pytest.mark.parametrize("body", ["null", "1", '"x"', "[]", "[{}]", "true", "1e999", "NaN"])
def test_json_that_is_no_object_is_refused(body):
    """The body itself is the field that is wrong."""
    assert list(refused(body.encode())) == [""]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("{}", ["instances"]),
        ("[]", [""]),
        ('{"instances": []}', ["instances"]),
        ('{"instances": {}}', ["instances"]),
        ('{"instances": null}', ["instances"]),
        ('{"instances": [1, null]}', ["instances[0]", "instances[1]"]),
        ('{"instances": [], "instances": []}', ["instances"]),
        ('{"rows": []}', ["rows", "instances"]),
    ],
)
def test_a_batch_of_another_shape_is_refused(body, fields):
    """Each fault with its place."""
    with pytest.raises(InvalidRecord) as caught:
        RowDecoder(NUMBERS).instances(body.encode())
    assert [error.field for error in caught.value.errors] == fields


def test_instances_given_twice_are_refused():
    """Also where the two lists have as many colons as one."""
    one = json.dumps(dict.fromkeys((f.name for f in NUMBERS), 1))
    for first in ("[]", f"[{one}]"):
        body = f'{{"instances": {first}, "instances": [{one}]}}'
        with pytest.raises(InvalidRecord, match="instances: given twice"):
            RowDecoder(NUMBERS).instances(body.encode())


def test_a_long_list_of_faults_and_a_long_name_are_cut():
    """An answer never echoes a whole body."""
    body = {f"{i}" + "x" * 10_000: 1 for i in range(500)}
    found = refused(body)
    assert len(found) == 100
    assert all(len(field) <= 101 for field in found)


@pytest.mark.parametrize(
    "name",
    ["a:b", 'say "hi"', "back\\slash", "tab\there", "a.b", "a b", "größe", "\U0001f600", "", "f0"],
)
def test_any_name_can_be_a_feature(name):
    """Whatever a graph calls its columns: read, missed, found twice and found wrong, by that name."""
    features = (number(name), number("other"))
    decoder = RowDecoder(features)
    key = json.dumps(name)
    assert decoder.record(f'{{{key}: 1.5, "other": 2}}'.encode()) == (1.5, 2.0)
    rows = decoder.instances(f'{{"instances": [{{"other": 2, {key}: 1.5}}]}}'.encode())
    assert rows == [(1.5, 2.0)]
    assert refused(b'{"other": 2}', features) == {name: "missing"}
    assert refused(f'{{{key}: 1, "other": 2, {key}: 1}}'.encode(), features) == {
        name: "given twice"
    }
    assert list(refused(f'{{{key}: null, "other": 2}}'.encode(), features)) == [name]
    with pytest.raises(MalformedBody):
        decoder.record(b"{")


@given(st.integers(-(2**70), 2**70), st.sampled_from(["int8", "int64", "uint64", "uint32"]))
def test_an_integer_is_taken_or_does_not_fit(value, dtype):
    """The range in the error is the range that is taken."""
    feature = integer("i", dtype)
    body = json.dumps({"i": value}).encode()
    if feature.minimum <= value <= feature.maximum:
        assert RowDecoder([feature]).record(body) == (value,)
    else:
        assert "does not fit" in refused(body, [feature])["i"]


@pytest.mark.parametrize(
    ("dtype", "limit"), [("float16", 65504.0), ("float64", 1.7976931348623157e308)]
)
def test_other_floats_have_limits_of_their_own(dtype, limit):
    """The largest number that fits is taken, the next one is not."""
    feature = number("x", dtype, limit)
    assert RowDecoder([feature]).record(json.dumps({"x": limit}).encode()) == (limit,)
    if dtype == "float16":
        assert "float16" in refused({"x": math.nextafter(limit, math.inf)}, [feature])["x"]
    else:
        assert refused(b'{"x": 1.8e308}', [feature])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
near_misses = st.lists(
    st.tuples(st.sampled_from([*GOOD, "extra", "area.error", "worst size"]), anything), max_size=6
).map(lambda pairs: "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}")
almost = st.tuples(values, st.sampled_from(list(GOOD)), anything).map(
    lambda t: json.dumps({**t[0], t[1]: t[2]})
)


def outcome(read, *arguments):
    try:
        return read(*arguments)
    except RequestError as error:
        return type(error), str(error)


def same(a, b):
    """Whether two rows are equal, NaN included."""
    return repr(a) == repr(b)


@given(near_misses | almost | values.map(json.dumps))
def test_the_fast_way_and_the_slow_way_agree(text):
    """Whatever the fast decoder takes the slow one reads as well, and the other way round."""
    body = text.encode("utf-8", "surrogatepass")
    for features, ignored in ((MIXED, ()), (NUMBERS, ()), (OPTIONAL, ("extra",))):
        slow = outcome(faults.read_record, body, Fields(features, frozenset(ignored)))
        assert same(outcome(RowDecoder(features, None, (), ignored).record, body), slow)


@given(st.data())
def test_a_damaged_body_is_taken_or_refused_and_nothing_else(data):
    """Any byte changed, added or removed: a row, or one of our two errors."""
    body = bytearray(json.dumps(data.draw(values)).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    for features in (MIXED, OPTIONAL):
        try:
            row = RowDecoder(features).record(bytes(body))
        except (InvalidRecord, MalformedBody):
            with pytest.raises((InvalidRecord, MalformedBody)):
                faults.read_record(bytes(body), Fields(features))
        else:
            assert same(row, faults.read_record(bytes(body), Fields(features)))


@given(st.binary(max_size=100))
def test_noise_is_refused(body):
    """Random bytes are no record."""
    assume(body.strip() != b"")
    with pytest.raises((MalformedBody, InvalidRecord)):
        RowDecoder(MIXED).record(body)


def one(number, text="x"):
    return {"mean_radius": number, "age": 1, "smoker": True, "note": text}


def test_a_quick_batch_is_all_right_and_not_large():
    """What takes longer than the loop can afford is left to `instances`: errors, and many rows."""
    features = [Feature(f"feature_{i}", "number", "float32", -9.0, 9.0) for i in range(3)]
    record = {feature.name: 1.5 for feature in features}
    body = json.dumps({"instances": [record] * 4}).encode()
    assert RowDecoder(features).quick_instances(body, 4) == [(1.5, 1.5, 1.5)] * 4
    assert RowDecoder(features).quick_instances(body, 1) is None
    for wrong in (body[:-1], body.replace(b"1.5", b"10", 1), body.replace(b"_0", b"_1", 1)):
        assert RowDecoder(features).quick_instances(wrong, 4) is None
    optional = [*features[1:], replace(features[0], required=False)]
    assert RowDecoder(optional).quick_instances(body, 4) is None


def test_a_large_batch_is_read_in_pieces():
    """As if it were read in one, whatever its strings, its spaces and its indentation."""
    traps = ["},", "},{", '"}, {"', "]}", "}", "\\", '\\"},', "é" * 9, ":", "::"]
    records = [one(i / 7, traps[i % len(traps)] * (i % 5)) for i in range(6000)]
    expected = [tuple(record.values()) for record in records]
    decoder = RowDecoder(MIXED)
    for indent in (None, 1):
        body = json.dumps({"instances": records}, indent=indent).encode()
        assert len(body) > 400_000
        assert decoder.instances(body) == expected
    spaced = body.replace(b"},\n", b"}\t\r\n , \n")
    assert decoder.instances(b" " + spaced + b"\n") == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-2] + ",]}",
        lambda text: text[:-2] + "]} x",
        lambda text: text[:-1] + ', "more": [1]}',
        lambda text: text[:-1] + ', "instances": [1]}',
        lambda text: text[:-2] + ", {}]}",
        lambda text: text.replace("}, {", "}, , {", 1),
        lambda text: "}, , {".join(text.rsplit("}, {", 1)),
        lambda text: "} {".join(text.rsplit("}, {", 1)),
        lambda text: "}], [{".join(text.rsplit("}, {", 1)),
        lambda text: '"age": 1, "age": 1'.join(text.rsplit('"age": 1', 1)),
        lambda text: text[:-3],
        lambda text: text + "}",
    ],
)
def test_a_large_batch_that_is_spoilt_is_refused_as_a_small_one(spoil):
    """In the same words, but for the place."""
    decoder = RowDecoder(MIXED)

    def refusal(count):
        text = spoil(json.dumps({"instances": [one(i) for i in range(count)]}))
        with pytest.raises((InvalidRecord, MalformedBody)) as caught:
            decoder.instances(text.encode())
        return type(caught.value), re.sub(r"\d+", "", str(caught.value))

    assert refusal(5000) == refusal(3)


def test_a_comma_at_the_end_of_a_piece_is_no_way_in():
    """Wherever the body is cut, a list does not end in a comma."""
    record = json.dumps(one(1.0)).encode()
    for length in range(65_536 - 10, 65_536 + 2 * len(record)):
        rows = b",".join([record] * (65_536 // (len(record) + 1) + 1))
        padded = b" " * (length - len(rows)) + rows
        with pytest.raises(MalformedBody):
            RowDecoder(MIXED).instances(b'{"instances": [%b,]}' % padded)


def test_several_records_are_read_at_once():
    """Those that are wrong are told apart, also where only a duplicate betrays them."""
    decoder = RowDecoder(MIXED)
    good = json.dumps(one(1.0)).encode()
    twice = good[:-1] + b', "age": 1}'
    rows, faults = decoder.records([good, good])
    assert (rows, faults) == ([(1.0, 1, True, "x")] * 2, {})
    rows, faults = decoder.records([good, b"{", twice, good])
    assert rows == [(1.0, 1, True, "x")] * 2
    assert {number: type(fault) for number, fault in faults.items()} == {
        1: MalformedBody,
        2: InvalidRecord,
    }


@pytest.mark.parametrize("wrong", [{}, {'say "hi"': None}, {'say "hi"': "text"}, 3])
def test_a_batch_of_names_that_need_escapes_is_refused_by_name(wrong):
    """Such records are decoded as they come; each fault is told all the same."""
    decoder = RowDecoder([Feature('say "hi"', "number", "float32")])
    right = {'say "hi"': 1.5}
    assert decoder.instances(json.dumps({"instances": [right]}).encode()) == [(1.5,)]
    with pytest.raises(InvalidRecord) as refused:
        decoder.instances(json.dumps({"instances": [right, wrong]}).encode())
    assert refused.value.errors[0].field.startswith("instances[1]")
