"""Ports, dtypes and the tensors that rows become."""

import numpy as np
import pytest

from predictor.errors import LoadError
from predictor.model.signature import Feature, Outputs, Port, Signature

DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
    "tensor(int8)": "int8", "tensor(uint64)": "uint64", "tensor(bool)": "bool",
    "tensor(string)": "object",
}  # fmt: skip


def signature(*ports: Port) -> Signature:
    return Signature((), ports, Outputs(value="y"))


@pytest.mark.parametrize(("kind", "dtype"), DTYPES.items())
def test_each_onnx_type_has_its_dtype(kind, dtype):
    """What is fed has the type that the graph declares."""
    assert Port("x", kind, (None, 1)).dtype == np.dtype(dtype)


@pytest.mark.parametrize("kind", ["seq(tensor(float))", "tensor(complex64)", "tensor(bfloat16)"])
def test_a_type_that_json_cannot_fill_is_refused_by_name(kind):
    """The error names the input and its type."""
    with pytest.raises(LoadError, match=r"'x' has type .*, which is not served"):
        _ = Port("x", kind, (None, 1)).dtype


@pytest.mark.parametrize(
    ("shape", "width"), [((None, 3), 3), ((None, None), None), ((None,), 1), ((), None)]
)
def test_width_is_the_second_dimension(shape, width):
    """One column for a 1-D tensor; unknown where the graph does not say."""
    assert Port("x", "tensor(float)", shape).width == width


def test_one_tensor_takes_all_columns():
    """[N, F], in the dtype of the graph."""
    fed = signature(Port("X", "tensor(float)", (None, 3))).feed([(1.1, 2, 3), (4, 5, 6)])
    assert fed["X"].dtype == np.float32
    assert fed["X"].shape == (2, 3)
    assert fed["X"][0, 0] == np.float32(1.1)


def test_columns_of_several_types_and_widths():
    """Each port gets its own columns, 1-D where it asks for one dimension."""
    fed = signature(
        Port("a", "tensor(int64)", (None,)),
        Port("b", "tensor(float)", (None, 2)),
        Port("c", "tensor(string)", (None, 1)),
        Port("d", "tensor(bool)", (None, 1)),
    ).feed([(1, 2.5, 3.5, "é:x", True), (2**62, 0.0, 1e30, "", False)])
    assert fed["a"].tolist() == [1, 2**62]
    assert fed["b"].tolist() == [[2.5, 3.5], [0.0, float(np.float32(1e30))]]
    assert fed["c"].tolist() == [["é:x"], [""]]
    assert fed["d"].tolist() == [[True], [False]]
    assert [array.dtype.kind for array in fed.values()] == ["i", "f", "O", "b"]


@pytest.mark.parametrize(("first", "alone"), [(1, True), (None, False)])
def test_a_batch_dimension_of_one_takes_one_row_at_a_time(first, alone):
    """Only a fixed 1 does."""
    assert signature(Port("X", "tensor(float)", (first, 2))).one_row_at_a_time is alone


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (Outputs("label", "p"), ["label", "p"]),
        (Outputs("label"), ["label"]),
        (Outputs(value="y"), ["y"]),
    ],
)
def test_only_the_outputs_that_answer_are_asked_for(outputs, names):
    """ONNX Runtime computes nothing that nobody reads."""
    assert outputs.names == names


@pytest.mark.parametrize(
    ("kind", "blank"), [("number", 0.0), ("integer", 0), ("boolean", False), ("string", "")]
)
def test_blanks_have_the_type_of_their_feature(kind, blank):
    """0, false or an empty text."""
    assert Feature("x", kind, kind).blank == blank
    assert type(Feature("x", kind, kind).blank) is type(blank)
