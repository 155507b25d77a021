"""The usual requests have the same rows and the same responses whether they are read quickly or not."""

import json
import struct
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.inference.compute import compute_one, compute_tick, read_tick, run_in_calls
from predictor.inference.protocol import Read, write_each
from predictor.protocols.open_inference import body
from predictor.protocols.open_inference.errors import InvalidInference
from predictor.protocols.open_inference.inference import Inference, Target
from predictor.protocols.open_inference.plain import PLAIN, PlainRequests, with_bytes
from predictor.protocols.open_inference.rest import Infer
from tests.predictor.graphs import OURS, classifier, one_input_per_column, regressor
from tests.predictor.parts import servable_of

TARGET = Target("m")
FLOATS = st.floats(width=64) | st.integers(-(10**40), 10**40)


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    return servable_of(tmp_path_factory.mktemp("plain"), OURS)


def slowly(servable, content, length=None):
    """The rows by `body.py`; None where it refuses the request."""
    try:
        return body.read(content, length, TARGET).inference.rows(servable)
    except InvalidInference:
        return None


@given(
    data=st.lists(FLOATS | st.sampled_from([None, True, "1", [1.0]]), max_size=5),
    shape=st.sampled_from([[1, 2], [2, 2], [0, 2], [2, 1], [2], [1, 2, 1], [True, 2], [1.0, 2]]),
    datatype=st.sampled_from(["FP32", "FP32", "FP64", "INT64", "fp32"]),
    name=st.sampled_from(["X", "X", "Y", "mean_radius"]),
    extra=st.sampled_from(["", "", ' "id": "a:b",', ' "id": 1,', ' "parameters": {},', ' "inputs": [],']),
)  # fmt: skip
def test_json_has_the_same_rows(servable, extra, **tensor):
    """Or is refused: what is read quickly is never more, and never something else."""
    content = json.dumps({"inputs": [tensor]}).replace("{", "{" + extra, 1).encode()
    found = PlainRequests(servable).read(content, None, TARGET)
    if found is not None:
        assert slowly(servable, content) == found[0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_plain_request_is_read_quickly(servable, count):
    """Else the other tests would compare nothing."""
    tensor = {"datatype": "FP32", "data": [1, 1.5] * count, "shape": [count, 2], "name": "X"}
    reader, row = PlainRequests(servable), struct.pack("<2f", 1.0, 1.5)
    rows, _ = reader.read(json.dumps({"inputs": [tensor]}).encode(), None, TARGET)
    assert rows == [row] * count
    content, length = with_raw(row * count, count)
    for _ in range(2):
        rows, _ = reader.read(content, length, TARGET)
        assert rows == [row] * count


def with_raw(raw, count):
    """A request with these bytes of `count` rows, and the length of its JSON."""
    tensor = {"name": "X", "shape": [count, 2], "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": 8 * count}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + raw, str(len(head))


def test_a_layout_is_of_one_number_of_bytes(servable):
    """The same text before more rows than it says, or fewer, is refused as ever."""
    reader, row = PlainRequests(servable), struct.pack("<2f", 1.0, 1.5)
    assert reader.read(*with_raw(row * 2, 2), TARGET) is not None
    for count in (0, 1, 3):
        assert reader.read(*with_raw(row * count, 2), TARGET) is None


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=5),
    shape=st.sampled_from([[1, 2], [2, 2], [2, 1], [2], [1, 3]]),
    datatype=st.sampled_from(["FP32", "FP32", "INT32", "FP16"]),
    off=st.sampled_from([0, 0, 1, -1]),
    size=st.sampled_from([None, None, 4, 12]),
)
def test_bytes_have_the_same_rows(servable, values, off, size, **tensor):
    """Also NaN, infinity, and lengths that are wrong."""
    raw = struct.pack(f"<{len(values)}f", *values)
    tensor["name"] = "X"
    tensor["parameters"] = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps({"inputs": [tensor]}).encode()
    content, length = head + raw, str(len(head) + off)
    reader = PlainRequests(servable)
    for _ in range(2):  # the second time, its layout is known
        found = reader.read(content, length, TARGET)
        if found is not None:
            assert slowly(servable, content, length) == found[0]


def test_a_layout_is_of_one_target_and_one_servable(servable):
    """The same text names another version's model in another path."""
    content, length = with_raw(struct.pack("<2f", 1.0, 1.5), 1)
    reader = PlainRequests(servable)
    assert reader.read(content, length, TARGET) is not None
    assert reader.read(content, length, Target("m", "99")) is None
    assert reader.read(content, length, Target("other")) is None


@pytest.mark.parametrize("name", [None, 'a":1]}'], ids=["no id", "id"])
@pytest.mark.parametrize("all_binary", [False, True], ids=["json", "bytes"])
@pytest.mark.parametrize(
    ("graph", "quick"),
    [
        (OURS, True), (classifier(labels=(0, 1)), True), (classifier(labels=("a%b", 'q",[]{}')), True),
        (regressor(), True), (regressor(targets=2), False),
    ],
    ids=["ours", "integers", "odd texts", "regressor", "two targets"],
)  # fmt: skip
def test_responses_have_the_same_bytes(tmp_path, graph, quick, all_binary, name):
    """Of every label, of numbers with many digits, with an id, and with outputs as bytes."""
    servable = servable_of(tmp_path, graph)
    width = len(servable.signature.features)
    request = body.Request(Inference(TARGET, ()), name, {}, all_binary)
    for values in ([-1.0, 0.3], [1.0, 1e-9], [5e3, -7.25], [0.0, 0.0]):
        rows = [servable.signature.pack(*values[:width])] * 3
        answers = servable.answer(rows)
        read = Read(rows, [1] * 3, {}, [(request, ())] * 3)
        written = PlainRequests(servable).write(read, answers)

        def slow(part, _):
            content, length = body.write(request, request.inference.inferred(servable, (), part))
            return content if length is None else with_bytes(content, length)

        assert written == (write_each(slow, read, answers) if quick else [None] * 3)


def test_requests_of_every_kind_share_a_tick(servable):
    """Each gets its own response: with an id, with bytes, with several rows, or with an error."""
    protocol = Infer(TARGET)
    tensor = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 1.5]}
    several = {**tensor, "shape": [2, 2], "data": [1, 1.5] * 2}
    wrong = {**tensor, "data": [1]}
    bodies = [
        {"inputs": [tensor]}, {"id": "a", "inputs": [tensor]}, {"inputs": [several]}, {"inputs": [wrong]},
        {"inputs": [tensor], "outputs": [{"name": "label"}]},
        {"inputs": [tensor], "parameters": {"binary_data_output": True}},
    ]  # fmt: skip
    run = partial(run_in_calls, servable, lambda *_: None)
    for some in (bodies, [each for each in bodies if each["inputs"] != [several]]):
        contents = [json.dumps(each).encode() for each in some]
        tick = read_tick(servable, [protocol] * len(some), contents)
        results = compute_tick(servable, tick).results
        for content, result in zip(contents, results, strict=True):
            if isinstance(result, InvalidInference):
                with pytest.raises(InvalidInference):
                    compute_one(protocol, content, servable, run)
            else:
                assert [result] == compute_one(protocol, content, servable, run).results
        assert sum(isinstance(each, InvalidInference) for each in results) == 1


def test_a_model_of_several_inputs_has_no_plain_requests(tmp_path):
    assert PLAIN.of(servable_of(tmp_path, one_input_per_column())) is None
