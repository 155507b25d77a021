"""The methods of the protocol, over a real connection: what they answer, and by which version."""

import asyncio
import struct
from functools import partial

import grpc
import numpy as np
import pytest

from predictor.model.loader import load
from predictor.model.runs import WatchedRuns
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from tests.predictor.graphs import OURS, classifier, counting, one_input_per_column, regressor
from tests.predictor.protocols.open_inference.grpc.parts import called, infer

OK = grpc.StatusCode.OK
ROW = struct.pack("<2f", 1.0, 0.0)


@pytest.fixture
async def service(tmp_path):
    async with called(tmp_path) as service:
        yield service


async def test_live_and_ready_say_what_is_so(tmp_path):
    """A process without a version is live, and not ready."""
    async with called(tmp_path, None) as service:
        ask = service.client.ask
        assert (await ask(pb.ServerLiveRequest())).message.live is True
        for ready in (pb.ServerReadyRequest(), pb.ModelReadyRequest(name="m")):
            answer = await ask(ready)
            assert (answer.code, answer.message.ready) == (OK, False)
        await service.live.serve(1, OURS)
        for ready in (pb.ServerReadyRequest(), pb.ModelReadyRequest(name="m", version="1")):
            assert (await ask(ready)).message.ready is True


async def test_the_server_and_the_model_describe_themselves(service):
    """As `GET /v2` and `GET /v2/models/{m}` do."""
    server = (await service.client.ask(pb.ServerMetadataRequest())).message
    assert server.name == "mlflow-hotswap"
    assert server.version
    model = (await service.client.ask(pb.ModelMetadataRequest(name="m"))).message
    assert (model.name, model.versions, model.platform) == ("m", ["1"], "onnx_onnxv1")
    described = [(t.name, t.datatype, [*t.shape]) for t in (*model.inputs, *model.outputs)]
    assert described == [
        ("X", "FP32", [-1, 2]), ("label", "BYTES", [-1]), ("probabilities", "FP32", [-1, 2]),
    ]  # fmt: skip


async def test_raw_is_answered_raw(service):
    """As Triton answers its own client."""
    answer = await service.client.ask(infer(ROW, id="a1"))
    said = answer.message
    assert (said.model_name, said.model_version, said.id) == ("m", "1", "a1")
    assert [(t.name, t.datatype, [*t.shape]) for t in said.outputs] == [
        ("label", "BYTES", [1]), ("probabilities", "FP32", [1, 2]),
    ]  # fmt: skip
    label, probabilities = said.raw_output_contents
    assert label == struct.pack("<I", 9) + b"malignant"
    assert np.frombuffer(probabilities, "<f4") == pytest.approx([0.8807971, 0.1192029])
    assert not any(tensor.HasField("contents") for tensor in said.outputs)


async def test_typed_is_answered_typed(service):
    """Each element in the field of its datatype."""
    said = (await service.client.ask(infer())).message
    label, probabilities = said.outputs
    assert [*label.contents.bytes_contents] == [b"malignant"]
    assert [*probabilities.contents.fp32_contents] == pytest.approx([0.8807971, 0.1192029])
    assert not said.raw_output_contents


async def test_outputs_are_those_that_were_requested(service):
    """In their order, and parameters change nothing."""
    request = infer(ROW)
    request.parameters["priority"].uint64_param = 1
    for name in ("probabilities", "label"):
        request.outputs.add(name=name).parameters["binary_data"].bool_param = True
    said = (await service.client.ask(request)).message
    assert [tensor.name for tensor in said.outputs] == ["probabilities", "label"]
    assert len(said.raw_output_contents[0]) == 8


async def test_many_rows_are_answered_in_order_by_one_version(service):
    """Few of them, and so many that the message is large."""
    for count in (2, 1500, 5000):
        table = np.linspace(-3, 3, count * 2, dtype="<f4").reshape(count, 2)
        said = (await service.client.ask(infer(table.tobytes(), shape=(count, 2)))).message
        scores = np.frombuffer(said.raw_output_contents[1], "<f4").reshape(count, 2)
        log_odds = 2 * (table @ np.array([1.0, -2.0], np.float32))
        assert scores[:, 0] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-5)


async def test_one_input_per_column_of_every_kind(tmp_path):
    """Integers, booleans, floats of 64 bits and texts, typed."""
    async with called(tmp_path, one_input_per_column()) as service:
        request = pb.ModelInferRequest(model_name="m")
        kinds = {
            "age": ("INT64", "int64_contents", 50), "smoker": ("BOOL", "bool_contents", True),
            "dose": ("FP64", "fp64_contents", 0.5), "code": ("BYTES", "bytes_contents", b"B"),
        }  # fmt: skip
        for name, (datatype, field, value) in kinds.items():
            tensor = request.inputs.add(name=name, datatype=datatype, shape=[1, 1])
            getattr(tensor.contents, field).append(value)
        answer = await service.client.ask(request)
        assert answer.code is OK, answer.detail
        (value,) = answer.message.outputs
        assert [*value.contents.fp32_contents] == [251.5]


async def test_a_regressor_answers_its_value(tmp_path):
    """One output, without a label."""
    async with called(tmp_path, regressor()) as service:
        (value,) = (await service.client.ask(infer((1.0, 2.0)))).message.outputs
        assert (value.name, [*value.contents.fp32_contents]) == ("value", [3.0])


async def test_a_version_is_the_one_that_computes(service):
    """By its number while it serves, and not once another does."""
    pinned, free = infer(ROW, model_version="1"), infer(ROW)
    assert (await service.client.ask(pinned)).message.model_version == "1"
    await service.live.serve(2, classifier((3.0, 3.0)))
    assert (await service.client.ask(free)).message.model_version == "2"
    refused = await service.client.ask(pinned)
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert refused.detail == "version `1` of `m` does not serve; version 2 does"


@pytest.mark.parametrize(
    "request_",
    [
        infer(ROW, model_name="other"), pb.ModelReadyRequest(name="other"),
        pb.ModelReadyRequest(name="m", version="7"), pb.ModelMetadataRequest(name="other"),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
async def test_what_does_not_serve_is_not_found(service, request_):
    """By any method that names a model."""
    answer = await service.client.ask(request_)
    assert answer.code is grpc.StatusCode.NOT_FOUND
    assert "serve" in answer.detail


async def test_single_rows_go_through_the_batcher_of_predict(service):
    """It computes requests that arrive together in one call, and counts them."""
    answers = await asyncio.gather(*(service.client.ask(infer(ROW)) for _ in range(40)))
    assert {answer.code for answer in answers} == {OK}
    samples = service.live.samples()
    assert samples["predictor_batch_rows_sum",] == 40
    assert samples["predictor_predictions_total", "1", "malignant"] == 40


async def test_a_call_that_does_not_end_is_stopped(tmp_path):
    """With the status that says to try elsewhere; the next one is answered."""
    watched = partial(load, runs=WatchedRuns(1))
    async with called(tmp_path, counting(), load=watched) as service:
        refused = await service.client.ask(infer((1e15, 1.0)))
        assert refused.code == grpc.StatusCode.UNAVAILABLE
        assert "PREDICTOR_INFERENCE_SECONDS" in refused.detail
        assert (await service.client.ask(infer((3.0, 1.0)))).code == OK
