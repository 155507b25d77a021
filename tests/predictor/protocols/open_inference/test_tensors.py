"""Tensors become rows exactly, or are refused with the input and the element that is wrong."""

from struct import pack

import numpy as np
import pytest

from predictor.model.graph_signature import MlflowSignature, read_features
from predictor.model.signature import Outputs, Port, Signature
from predictor.protocols.open_inference.errors import InvalidInference
from predictor.protocols.open_inference.tensors import MAX_ROWS, Tensor, rows

TYPES = {
    "FP16": "tensor(float16)", "FP32": "tensor(float)", "FP64": "tensor(double)",
    "BOOL": "tensor(bool)", "BYTES": "tensor(string)",
    **{f"{u}INT{bits}": f"tensor({u.lower()}int{bits})" for u in ("", "U") for bits in (8, 16, 32, 64)},
}  # fmt: skip
LARGEST = float(np.finfo(np.float32).max)


def signature(*ports, names=None):
    return Signature(read_features(ports, names, MlflowSignature()), ports, Outputs(value="y"))


def table(datatype="FP32", width=2, names=("a", "b")):
    return signature(Port("X", TYPES[datatype], (None, width)), names=names)


def one(datatype):
    """A model of one column of this datatype."""
    return signature(Port("X", TYPES[datatype], (None, 1)))


def tensor(data, shape=(1, 2), datatype="FP32", name="X"):
    return Tensor(name, datatype, shape, data)


def values(signature, *tensors):
    """The rows as tuples."""
    made = signature.feed(rows(signature, tensors))
    (only,) = made.values()
    return only.tolist()


def refusal(signature, *tensors):
    with pytest.raises(InvalidInference) as caught:
        rows(signature, tensors)
    return str(caught.value)


def test_a_table_of_float32_is_its_bytes():
    """Nothing is unpacked: a row of the table is a piece of what came."""
    raw = np.array([[1, 2], [3, 4]], "<f4").tobytes()
    assert rows(table(), [tensor(raw, (2, 2))]) == [raw[:8], raw[8:]]
    assert rows(table(), [tensor([1.0, 2.0, 3.0, 4.0], (2, 2))]) == [raw[:8], raw[8:]]


def test_features_by_name_are_put_in_their_order():
    """Whatever order they come in, as [N] or [N,1], each in a datatype of its own."""
    given = [tensor([3, 4], (2,), "INT64", "b"), tensor([1.5, 2.5], (2, 1), "FP64", "a")]
    assert values(table(), *given) == [[1.5, 3], [2.5, 4]]


def test_one_input_per_column():
    """Each in its own dtype, as the graph takes them."""
    mixed = signature(
        Port("age", TYPES["INT64"], (None, 1)), Port("smoker", TYPES["BOOL"], (None,)),
        Port("code", TYPES["BYTES"], (None, 2)),
    )  # fmt: skip
    given = [
        tensor([True], (1,), "BOOL", "smoker"),
        tensor([40], (1, 1), "INT32", "age"),
        tensor(["A", b"\xc3\xa4"], (1, 2), "BYTES", "code"),
    ]
    assert rows(mixed, given) == [(40, True, "A", "ä")]
    by_feature = [
        *given[:2],
        tensor(["A"], (1,), "BYTES", "code_0"),
        tensor([""], (1,), "BYTES", "code_1"),
    ]
    assert "one form" in refusal(mixed, *by_feature)


@pytest.mark.parametrize(
    ("taken", "datatype", "data", "value"),
    [
        ("FP32", "FP64", 17.99, np.float32(17.99)),  # rounds, as in a record
        ("FP32", "FP32", 17.99, np.float32(17.99)),
        ("FP32", "FP32", LARGEST, LARGEST),
        ("FP32", "FP32", -0.0, -0.0),
        ("FP32", "FP32", 7, 7),
        ("FP32", "FP16", pack("<e", 0.5), 0.5),
        ("FP32", "INT64", 2**24, 2**24),
        ("FP32", "INT64", 2**62, 2**62),
        ("FP32", "INT64", -(2**63), -(2**63)),
        ("FP32", "UINT64", 2**63, 2**63),
        ("FP32", "INT8", -128, -128),
        ("FP32", "UINT8", b"\xff", 255),
        ("FP64", "FP32", 0.1, np.float32(0.1)),  # what FP32 holds of it
        ("FP64", "FP64", 0.1, 0.1),
        ("FP64", "INT64", 2**53, 2**53),
        ("FP16", "FP64", 0.1, np.float16(0.1)),
        ("FP16", "INT32", 65504, 65504),
        ("INT64", "INT64", -(2**63), -(2**63)),
        ("INT64", "UINT8", 200, 200),
        ("INT64", "FP64", 3.0, 3),
        ("INT64", "FP64", -(2.0**63), -(2**63)),
        ("INT8", "INT64", -128, -128),
        ("UINT64", "UINT64", 2**64 - 1, 2**64 - 1),
        ("BOOL", "BOOL", True, True),
        ("BOOL", "BOOL", b"\x01", True),
        ("BYTES", "BYTES", "ä", "ä"),
        ("BYTES", "BYTES", b"\x02\0\0\0\xc3\xa4", "ä"),
        ("BYTES", "BYTES", b"\0\0\0\0", ""),
    ],
)
def test_values_are_kept(taken, datatype, data, value):
    """What the graph is fed equals what was sent, and has the graph's own type."""
    sent = data if isinstance(data, bytes) else [data]
    signature = one(taken)
    ((given,),) = values(signature, tensor(sent, (1, 1), datatype))
    assert given == value
    kinds = {"FP": float, "IN": int, "UI": int, "BO": bool, "BY": str}
    assert type(given) is kinds[taken[:2]]


@pytest.mark.parametrize(
    ("taken", "datatype", "data", "reason"),
    [
        ("FP32", "FP32", [1.0, True], "element 1: expected a number, got a boolean"),
        ("FP32", "FP32", ["1", 2.0], "element 0: expected a number, got a string"),
        ("FP32", "FP32", [1.0, None], "element 1: expected a number, got null"),
        ("FP32", "FP32", [[1.0], [2.0]], "element 0: expected a number, got a list"),
        ("FP32", "FP32", [1.0, 3.5e38], "element 1: not a finite number that fits float32"),
        ("FP32", "FP32", [float("nan"), 1.0], "element 0: not a finite number"),
        ("FP32", "FP32", [1.0, float("-inf")], "element 1: not a finite number"),
        ("FP32", "FP32", [1.0, 10**400], "element 1: not a finite number"),
        ("FP32", "FP64", [1.0, 1e39], "element 1: not a finite number that fits float32"),
        ("FP32", "FP64", [1.0, -1e39], "element 1: not a finite number that fits float32"),
        ("FP32", "FP64", np.array([1.0, 1e39]).tobytes(), "element 1: not a finite number that"),
        ("FP32", "FP64", np.array([np.nan, 1]).tobytes(), "element 0: not a finite number"),
        ("FP32", "FP32", np.array([1, np.inf], "<f4").tobytes(), "element 1: not a finite"),
        ("FP32", "INT64", [1, 2**24 + 1], "element 1: an integer that float32 cannot hold"),
        ("FP32", "INT64", [1, 2**63 - 1], "element 1: an integer that float32 cannot hold"),
        ("FP32", "INT64", [1.0, 2], "element 0: expected an integer, got a number with a"),
        ("FP32", "INT64", [1, 1.5], "element 1: expected an integer, got a number with a"),
        ("FP32", "INT64", [1, True], "element 1: expected an integer, got a boolean"),
        ("FP32", "INT8", [1, 128], "element 1: does not fit INT8: expected -128 to 127"),
        ("FP32", "UINT64", [1, -1], "element 1: does not fit UINT64"),
        ("FP32", "INT64", [1, 10**400], "element 1: does not fit INT64"),
        ("FP32", "BOOL", [True, False], "booleans; the model takes numbers (float32) here"),
        ("FP32", "BYTES", ["1", "2"], "texts; the model takes numbers (float32) here"),
        ("FP32", "FP16", [1.0, 2.0], "FP16 is supported as bytes only"),
        ("FP32", "BF16", [1.0, 2.0], "unknown datatype `BF16`"),
        ("FP32", "fp32", [1.0, 2.0], "unknown datatype `fp32`"),
        ("FP32", "", [1.0, 2.0], "unknown datatype ``"),
        ("FP16", "FP32", [1.0, 65520.0], "element 1: not a finite number that fits float16"),
        ("FP16", "INT32", [1, 65505], "element 1: an integer that float16 cannot hold"),
        ("FP16", "INT32", [1, 10**6], "element 1: an integer that float16 cannot hold"),
        ("FP64", "INT64", [1, 2**53 + 1], "element 1: an integer that float64 cannot hold"),
        ("INT64", "FP64", [1.0, 2.5], "element 1: not whole; the model takes int64 here"),
        ("INT64", "FP64", [1.0, 2.0**63], "element 1: does not fit int64"),
        ("INT64", "FP64", [1.0, 2**53 + 1], "element 1: rounded in FP64; send INT64"),
        ("INT32", "FP32", [2**24, 2**24 + 1.0], "element 1: rounded in FP32; send INT32"),
        ("INT64", "FP32", [1, 1.00000001], "element 1: rounded in FP32; send INT64"),
        ("INT64", "UINT64", [1, 2**63], "element 1: does not fit int64"),
        ("INT8", "FP16", pack("<ee", 1, 128), "element 1: does not fit int8"),
        ("INT64", "BOOL", [True, False], "booleans; the model takes integers (int64) here"),
        ("UINT8", "INT16", [1, -1], "element 1: does not fit uint8: expected 0 to 255"),
        ("BOOL", "INT64", [1, 0], "integers; the model takes booleans here"),
        ("BOOL", "BOOL", [True, 1], "element 1: expected true or false, got an integer"),
        ("BOOL", "BOOL", b"\x01\x02", "element 1: neither 0 nor 1"),
        ("BYTES", "FP32", [1.0, 2.0], "numbers; the model takes texts here"),
        ("BYTES", "BYTES", ["a", 1], "element 1: expected a string, got an integer"),
        ("BYTES", "BYTES", ["a", "\ud800"], "element 1: not text in UTF-8"),
        ("BYTES", "BYTES", ["a", b"\xff"], "element 1: not text in UTF-8"),
        ("BYTES", "BYTES", b"\0\0\0\0\x01\0\0\0\xff", "element 1: not text in UTF-8"),
        ("BYTES", "BYTES", b"\0\0\0\0\x02\0\0\0a", "element 1: longer than the 1 bytes"),
        ("BYTES", "BYTES", b"\0\0\0\0\xff\xff\xff\xffab", "element 1: longer than the 2 bytes"),
        ("BYTES", "BYTES", b"\0\0\0\0\x01\0\0", "element 1: its length is cut off"),
        ("BYTES", "BYTES", b"\0\0\0\0", "1 elements and 0 bytes more; the shape needs 2"),
        ("BYTES", "BYTES", b"\0\0\0\0\0\0\0\0a", "2 elements and 1 bytes more"),
        ("BYTES", "BYTES", b"\0" * 12, "2 elements and 4 bytes more"),
        ("FP32", "FP32", b"\0" * 7, "7 bytes; the shape and FP32 need 8"),
        ("FP32", "FP32", b"\0" * 16, "16 bytes; the shape and FP32 need 8"),
        ("FP32", "FP32", b"", "0 bytes"),
        ("FP32", "FP32", [1.0], "1 elements; the shape needs 2"),
        ("FP32", "FP32", [1.0, 2.0, 3.0], "3 elements; the shape needs 2"),
        ("FP32", "FP32", [], "0 elements"),
    ],
)
def test_elements_that_are_refused(taken, datatype, data, reason):
    """Never rounded where nobody would expect it, never NaN: the message has the input and the element."""
    said = refusal(table(taken), tensor(data, datatype=datatype))
    assert said.startswith(f"input `X`: {reason}")


@pytest.mark.parametrize(
    "shape",
    [
        (), (2,), (1, 3), (2, 1), (1, 2, 1), (0, 2), (-1, 2), (-1, -2), (1, -2), (2**62, 2), (2**63, 2**63),
        (MAX_ROWS + 1, 2), (1,) * 1000,
    ],
)  # fmt: skip
def test_shapes_that_are_refused(shape):
    """Without making room for what they promise."""
    for data in ([1.0, 2.0], b"\0" * 8):
        said = refusal(table(), tensor(data, shape))
        assert said.startswith("input `X`: its shape is [")
        assert "expected [N,2]" in said
        assert len(said) < 200


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "input `X` is missing; the model takes `X` FP32 [-1,2], or one input per feature"),
        (["X", "X"], "input `X` is given twice"),
        (["X", "a"], "input `a` is a feature"),
        (["X", "Y"], "unknown input `Y`"),
        (["Y"], "unknown input `Y`; the model takes `X` FP32 [-1,2], or one"),
        (["a"], "input `b` is missing"),
        (["a", "b", "a"], "input `a` is given twice"),
        (["a", "b", "c"], "unknown input `c`"),
        (["x" * 5000], "unknown input `" + "x" * 100 + "…`"),
        (["\ud800"], "unknown input `\\ud800`"),
    ],
)
def test_inputs_are_those_of_one_form(names, reason):
    """Each exactly once."""
    given = [
        tensor([1.0] * (2 if name == "X" else 1), (1, 2) if name == "X" else (1, 1), name=name)
        for name in names
    ]
    assert refusal(table(), *given).startswith(reason)


def test_inputs_have_the_same_number_of_rows():
    """Both inputs are named."""
    given = [tensor([1.0, 2.0], (2,), name="a"), tensor([1.0], (1,), name="b")]
    assert refusal(table(), *given) == "input `b` has 1 rows; `a` has 2"


@pytest.mark.parametrize("shape", [(None,), (None, 1), (1, 1), ()])
def test_a_model_of_one_feature_takes_a_column_in_both_ways(shape):
    """[N] and [N, 1]."""
    of_one = signature(Port("X", TYPES["FP32"], shape), names=["a"])
    for name in ("X", "a"):
        for given in ((2,), (2, 1)):
            made = of_one.feed(rows(of_one, [tensor([1.0, 2.0], given, name=name)]))
            assert made["X"].ravel().tolist() == [1.0, 2.0]
