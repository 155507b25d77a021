"""Which values are outside the training data, to the last float32."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.model.decoder import RowDecoder
from predictor.model.signature import Feature, Outputs, Port, Signature
from predictor.model.training_ranges import FeatureProfile, OutOfRange, Ranges, features_in_range

LARGEST = float(np.finfo(np.float32).max)
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


def above(value):
    """The next float32."""
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))


def number(name, dtype="float32"):
    kind = "integer" if "int" in dtype else "number"
    least = 0 if kind == "integer" else -LARGEST
    return Feature(name, kind, dtype, least, LARGEST)


def of_floats(*profiles):
    features = tuple(number(each.name) for each in profiles)
    port = Port("X", "tensor(float)", (None, len(profiles)))
    signature = Signature(features, (port,), Outputs(value="y"))
    return signature, Ranges(signature, profiles)


def packed(*rows):
    return [np.array(row, np.float32).tobytes() for row in rows]


RADIUS = FeatureProfile("radius", minimum=6.981, median=13.45, maximum=28.11)
NOTED = FeatureProfile("noted")
AREA = FeatureProfile("area", minimum=143.5, maximum=2501.0)
_, RANGES = of_floats(RADIUS, NOTED, AREA)


def test_a_warning_names_the_feature_the_value_and_the_range():
    """Each row has its own; one that is within has none."""
    rows = packed((28.12, 1e9, 200), (10, 0, 200), (0.1, -1e9, 2502))
    assert RANGES.outside(rows) == {
        0: [
            OutOfRange(
                "radius", 28.12, 6.981, 28.11,
                "radius is 28.12, outside the range of the training data, 6.981 to 28.11",
            )
        ],
        2: [
            OutOfRange(
                "radius", 0.1, 6.981, 28.11,
                "radius is 0.1, outside the range of the training data, 6.981 to 28.11",
            ),
            OutOfRange(
                "area", 2502.0, 143.5, 2501.0,
                "area is 2502, outside the range of the training data, 143.5 to 2501",
            ),
        ],
    }  # fmt: skip


def test_a_training_value_has_no_warning():
    """6.981 and 28.11 are no float32: what is fed is what is compared."""
    assert RANGES.outside(packed((6.981, 0, 200), (28.11, 0, 200))) == {}
    beyond = RANGES.outside(packed((above(28.11), 0, 200)))
    assert beyond[0][0].value == 28.110003
    below = RANGES.outside(packed((-above(-6.981), 0, 200)))
    assert below[0][0].value == 6.9809995


def test_rows_that_are_not_packed_yet_are_compared_as_well():
    """A question of another protocol may bring a tuple."""
    assert list(RANGES.outside([(30.0, 0.0, 200.0), *packed((10, 0, 200))])) == [0]


def test_no_rows_and_no_profiles_have_no_warnings():
    """A graph that another exporter made."""
    assert RANGES.outside([]) == {}
    signature, _ = of_floats(RADIUS)
    assert Ranges(signature, ()).outside(packed((1e9,))) == {}
    assert of_floats(NOTED)[1].outside(packed((1e9,))) == {}


def test_columns_of_several_types():
    """Each is compared as it is fed; what is no number has no range."""
    features = (
        number("age", "int64"), Feature("smoker", "boolean", "bool"), number("dose", "float64"),
        Feature("code", "string", "object"), number("small", "float16"),
    )  # fmt: skip
    kinds = ("int64", "bool", "double", "string", "float16")
    ports = [
        Port(each.name, f"tensor({kind})", (None, 1))
        for each, kind in zip(features, kinds, strict=True)
    ]
    ranges = Ranges(
        Signature(features, tuple(ports), Outputs(value="y")),
        [
            FeatureProfile("age", minimum=18, maximum=99), FeatureProfile("smoker"),
            FeatureProfile("dose", minimum=0.1, maximum=0.2), FeatureProfile("code"),
            FeatureProfile("small", minimum=0.1, maximum=0.2),
        ],
    )  # fmt: skip
    rows = [
        (18, True, 0.1, "A", 0.1), (99, False, 0.2, "", 0.20000001), (17, True, 0.2, "A", 0.2),
        (18, True, 0.20000001, "A", 0.25), (2**62, True, 0.1, "A", 0.0),
    ]  # fmt: skip
    found = ranges.outside(rows)
    assert {row: [(each.feature, each.value) for each in found[row]] for row in found} == {
        2: [("age", 17)],
        3: [("dose", 0.20000001), ("small", 0.25)],
        4: [("age", 2**62), ("small", 0.0)],
    }
    assert features_in_range(features, [NOTED] * 5) == ()


@given(st.tuples(singles, singles).map(sorted), singles, st.sampled_from([-1e-9, 0.0, 1e-9]))
def test_a_decoder_accepts_exactly_the_values_in_range(range_, value, moved):
    """It sees the float64 that was sent, and decides as if it were the float32 that is fed."""
    profile = FeatureProfile("radius", minimum=range_[0], maximum=range_[1])
    for sent in (value, *range_, *map(math.nextafter, range_, (-math.inf, math.inf))):
        agree(profile, sent + abs(sent) * moved)


@pytest.mark.parametrize("bound", [0.0, 1.0, 0.1, 28.11, -28.11, 1e-45, 2.0**-126, LARGEST])
def test_a_decoder_knows_where_a_number_is_rounded_to(bound):
    """On both sides of the middle between a bound and the float32 next to it, and on the middle."""
    single = float(np.float32(bound))
    for towards in (-np.inf, np.inf):
        if abs(single) == LARGEST:
            continue
        beyond = float(np.nextafter(np.float32(bound), np.float32(towards)))
        middle = (single + beyond) / 2
        for sent in (middle, np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf)):
            agree(FeatureProfile("radius", minimum=bound, maximum=bound), float(sent))
    for end, beside in ((LARGEST, 3.402823462982465e38), (-LARGEST, -3.402823462982465e38)):
        agree(FeatureProfile("radius", minimum=end, maximum=end), beside)
    agree(FeatureProfile("radius", minimum=-LARGEST, maximum=LARGEST), LARGEST)
    agree(FeatureProfile("radius", minimum=-LARGEST, maximum=LARGEST), -LARGEST)


def agree(profile, sent):
    """The decoder's `within`, and `outside` of the row that is fed."""
    if abs(sent) > LARGEST:
        return
    signature, ranges = of_floats(profile)
    narrow = features_in_range(signature.features, [profile])
    decoder = RowDecoder(signature.features, signature.pack, narrow)
    body = msgspec.json.encode({"radius": sent})
    in_range = decoder.records_in_range([body])
    rows, _ = decoder.records([body])
    assert (in_range is not None) == (ranges.outside(rows) == {}), (profile, sent)
    assert in_range in (None, rows)


def test_a_decoder_rejects_values_outside_and_invalid_records():
    """A fault, a name given twice, a value outside: each is for `records` to find out."""
    signature, _ = of_floats(RADIUS, AREA)
    decoder = RowDecoder(
        signature.features, signature.pack, features_in_range(signature.features, [RADIUS, AREA])
    )
    good = json.dumps({"radius": 10, "area": 200}).encode()
    assert decoder.records_in_range([good, good]) == packed((10, 200), (10, 200))
    twice = good[:-1] + b', "area": 200}'
    outside = good.replace(b"10", b"30")
    for bad in (twice, outside, b"{", b"\xff", b"{}", b"[" * 100_000):
        assert decoder.records_in_range([good, bad]) is None
    assert RowDecoder(signature.features, signature.pack).records_in_range([good]) is None
