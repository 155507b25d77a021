"""What a client may get wrong in a message, and what it is told: never that the fault is ours."""

import struct
from http import HTTPStatus

import grpc
import pytest

from predictor.http import problems
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.errors import STATUS
from tests.predictor.protocols.open_inference.grpc.parts import called, infer

ROW = struct.pack("<2f", 1.0, 0.0)


def outputs(*names):
    return [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]


def two_inputs(first, second, raw=()):
    made = pb.ModelInferRequest(model_name="m", raw_input_contents=raw)
    made.inputs.extend([first.inputs[0], second.inputs[0]])
    return made


def both_contents():
    made = infer()
    made.raw_input_contents.append(ROW)
    return made


def wrong_field():
    made = infer(())
    made.inputs[0].contents.int_contents.extend([1, 2])
    return made


def too_large_for_int8():
    made = infer((), datatype="INT8")
    made.inputs[0].contents.int_contents.extend([1, 128])
    return made


def classified():
    made = infer(outputs=outputs("probabilities"))
    made.outputs[0].parameters["classification"].int64_param = 1
    return made


def elsewhere():
    made = infer()
    made.inputs[0].parameters["shared_memory_region"].string_param = "region"
    return made


WRONG = {
    "classification": (
        classified(),
        "outputs[0].parameters.classification: not supported; leave it out",
    ),
    "shared memory": (
        elsewhere(),
        "inputs[0].parameters.shared_memory_region: not supported; leave it out",
    ),
    "no inputs": (pb.ModelInferRequest(model_name="m"), "input `X` is missing"),
    "unknown input": (infer(name="Y"), "unknown input `Y`"),
    "input twice": (two_inputs(infer(), infer()), "input `X` is given twice"),
    "unknown output": (infer(outputs=outputs("loss")), "unknown output `loss`"),
    "output twice": (infer(outputs=outputs("label", "label")), "output `label` is requested twice"),
    "datatype": (infer(datatype="FLOAT"), "unknown datatype `FLOAT`"),
    "no datatype": (infer(datatype=""), "unknown datatype ``"),
    "texts": (infer(struct.pack("<I", 1) + b"a", datatype="BYTES"), "input `X`: "),
    "FP16 typed": (infer((), datatype="FP16"), "FP16 is supported as bytes only"),
    "shape": (infer(shape=(2, 1)), "its shape is [2,1]; expected [N,2]"),
    "no shape": (infer(shape=()), "its shape is []"),
    "negative": (infer(shape=(-1, 2)), "its shape is [-1,2]"),
    "no rows": (infer((), shape=(0, 2)), "with N from 1 to"),
    "overflowing": (infer(shape=(2**62, 2)), f"its shape is [{2**62},2]"),
    "few elements": (infer((1.0,)), "1 elements; the shape needs 2"),
    "few bytes": (infer(ROW[:-1]), "7 bytes; the shape and FP32 need 8"),
    "not finite": (infer((1.0, float("nan"))), "element 1: not a finite number"),
    "not finite, raw": (infer(struct.pack("<2f", float("inf"), 0)), "element 0: not a finite"),
    "wrong field": (wrong_field(), "FP32 is sent in fp32_contents, not in int_contents"),
    "does not fit": (too_large_for_int8(), "element 1: does not fit INT8"),
    "both contents": (both_contents(), "input `X` has contents, and the request has raw_input"),
    "raw of one": (
        two_inputs(infer(), infer(name="Y"), [ROW]),
        "raw_input_contents has 1 elements, and there are 2 inputs",
    ),
    "raw of none": (
        pb.ModelInferRequest(model_name="m", raw_input_contents=[ROW]),
        "raw_input_contents has 1 elements, and there are 0 inputs",
    ),
}


async def test_a_request_that_the_model_does_not_take_is_refused_by_name(tmp_path):
    """Each names what is wrong, and the next call is answered."""
    async with called(tmp_path) as service:
        for case, (request, said) in WRONG.items():
            answer = await service.client.ask(request)
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT, (case, answer)
            assert said in answer.detail, (case, answer.detail)
        answer = await service.client.ask(infer(shape=(2, 2), data=(1.0, 2.0, 3.0, float("inf"))))
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (await service.client.ask(infer())).code is grpc.StatusCode.OK


@pytest.mark.parametrize(("field", "count"), [("inputs", 500_000), ("outputs", 70_000)])
async def test_many_empty_tensors_are_refused(tmp_path, field, count):
    """They take two bytes each, and far more in memory."""
    # Messages that are parsed one after the other are merged.
    one = pb.ModelInferRequest()
    getattr(one, field).add()
    body = pb.ModelInferRequest(model_name="m").SerializeToString()
    body += one.SerializeToString() * count
    async with called(tmp_path) as service:
        answer = await service.client.send("ModelInfer", body)
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert f"the request has {count} {field}; at most" in answer.detail


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab", infer().SerializeToString()[:-3]])
async def test_bytes_that_are_no_message_are_refused(tmp_path, body):
    """By every method, and without a word of what they were."""
    async with called(tmp_path) as service:
        for method in ("ModelInfer", "ModelMetadata", "ServerLive"):
            answer = await service.client.send(method, body)
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
            assert answer.detail == f"the request is not a inference.{method}Request"


def test_every_error_has_a_status():
    """Those of the one table, and what HTTP's server refuses by itself: none is unknown."""
    asked = {*problems.STATUS.values(), HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.METHOD_NOT_ALLOWED}
    assert asked <= STATUS.keys()
    clients = {STATUS[status] for status in asked if status < HTTPStatus.INTERNAL_SERVER_ERROR}
    ours = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
    assert not clients & ours
    assert STATUS[HTTPStatus.SERVICE_UNAVAILABLE] is grpc.StatusCode.UNAVAILABLE
