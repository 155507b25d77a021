"""The usual messages have the same rows and the same responses whether they are read quickly or not."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.inference.compute import compute_tick, read_tick
from predictor.inference.protocol import Read
from predictor.protocols.open_inference.errors import InvalidInference
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.messages import inference, response, stream_response
from predictor.protocols.open_inference.grpc.methods import INFER
from predictor.protocols.open_inference.grpc.plain import PLAIN, Note, PlainMessages
from predictor.protocols.open_inference.inference import Inference, Target
from tests.predictor.graphs import OURS, classifier, one_input_per_column, regressor
from tests.predictor.parts import servable_of
from tests.predictor.protocols.open_inference.grpc.parts import infer

ROW = struct.pack("<2f", 1.0, 1.5)


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    return servable_of(tmp_path_factory.mktemp("plain"), OURS)


def test_a_plain_message_is_read_quickly(servable):
    """Else the other tests would compare nothing. A layout is remembered without the id and the row."""
    plain = PlainMessages(servable)
    for number in range(3):
        row = struct.pack("<2f", number, 1.5)
        rows, note = plain.read(infer(row, id=f"r{number}").SerializeToString())
        assert (rows, note.id, note.plain) == ([row], f"r{number}", True)
    assert len(plain._layouts) == 1


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=3),
    shape=st.sampled_from([[1, 2], [1, 2], [2, 1], [2], [1, 3], []]),
    datatype=st.sampled_from(["FP32", "FP32", "INT32", "FP16"]),
    name=st.sampled_from(["X", "X", "Y"]),
    model=st.sampled_from(["m", "m", "n"]),
    version=st.sampled_from(["", "1", "7"]),
    change=st.sampled_from(["", "", "twice", "typed too", "unsupported", "output", "odd output", "cut"]),
)  # fmt: skip
def test_a_message_has_the_same_row(servable, values, model, version, change, **tensor):
    """Or is not plain: what is read quickly is never more, and never something else."""
    raw = struct.pack(f"<{len(values)}f", *values)
    request = infer(raw, model_name=model, model_version=version, id="a", **tensor)
    match change:
        case "twice":
            request.raw_input_contents.append(raw)
        case "typed too":
            request.inputs[0].contents.fp32_contents.append(1.0)
        case "unsupported":
            request.parameters["classification"].int64_param = 1
        case "output":
            request.outputs.add(name="label")
        case "odd output":
            request.outputs.add(name="unknown")
    body = request.SerializeToString()[: -1 if change == "cut" else None]
    for _ in range(2):  # the second time, its layout is known
        found = PLAIN.of(servable).read(body)
        if found is not None:
            rows, note = found
            assert rows == inference(request).rows(servable)
            assert note == Note("a", True, note.inference, plain=True)
            assert [*note.inference.outputs] == [output.name for output in request.outputs]


@pytest.mark.parametrize("name", ["", "a%b", "ä" * 200])
@pytest.mark.parametrize(
    ("graph", "quick"),
    [
        (OURS, True), (classifier(labels=(0, 1)), True), (classifier(labels=("a%b", "ö")), True),
        (regressor(), True), (regressor(targets=2), False),
    ],
    ids=["ours", "integers", "odd texts", "regressor", "two targets"],
)  # fmt: skip
def test_responses_are_the_same_messages(tmp_path, graph, quick, name):
    """Of every label, of numbers with many digits, and with an id; by calls and by streams."""
    servable = servable_of(tmp_path, graph)
    width = len(servable.signature.features)
    said = Inference(Target("m"), ())
    for values in ([-1.0, 0.3], [1.0, 1e-9], [5e3, -7.25], [0.0, 0.0]):
        row = servable.signature.pack(*values[:width])
        answers = servable.answer([row])
        written = PLAIN.of(servable).write(
            Read([row], [1], {}, [Note(name, True, said, plain=True)]), answers
        )
        if not quick:
            assert written is None
            continue
        slow = response(name, said.inferred(servable, (), answers), raw=True)
        message = pb.ModelInferResponse.FromString(slow)
        assert pb.ModelInferResponse.FromString(written[0]) == message
        streamed = pb.ModelStreamInferResponse.FromString(stream_response(written[0]))
        message.parameters["triton_final_response"].bool_param = True
        assert streamed == pb.ModelStreamInferResponse(infer_response=message)


def test_messages_of_every_kind_share_a_tick(servable):
    """Each gets its own response: raw or typed, with chosen outputs, several rows, or an error."""
    chosen = infer(ROW, id="chosen")
    chosen.outputs.add(name="label")
    requests = [
        infer(ROW), infer(ROW, id="a"), infer((1.0, 1.5), id="typed"), chosen, infer(ROW[:4], id="wrong"),
        infer(ROW * 2, shape=(2, 2), id="two"),
    ]  # fmt: skip
    for some in (requests, requests[:-1]):
        bodies = [request.SerializeToString() for request in some]
        results = compute_tick(servable, read_tick(servable, [INFER] * len(bodies), bodies)).results
        for request, body, result in zip(some, bodies, results, strict=True):
            (alone,) = compute_tick(servable, read_tick(servable, [INFER], [body])).results
            if request.id == "wrong":
                assert isinstance(result, InvalidInference)
                continue
            message = pb.ModelInferResponse.FromString(result)
            assert message == pb.ModelInferResponse.FromString(alone)
            assert message.id == request.id
            assert len(message.outputs) == (1 if request is chosen else 2)
            assert bool(message.raw_output_contents) == bool(request.raw_input_contents)


def test_a_model_of_several_inputs_has_no_plain_messages(tmp_path):
    assert PLAIN.of(servable_of(tmp_path, one_input_per_column())) is None
