"""What stands around every method: ids, keys, bounds, counts and the log."""

import asyncio
import hashlib
import struct

import grpc
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.calls import _client
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.protocols.open_inference.grpc.parts import (
    SERVICE,
    Client,
    called,
    grpc_server,
    infer,
)

OK = grpc.StatusCode.OK
ROW = struct.pack("<2f", 1.0, 0.0)
INFER = SERVICE + "ModelInfer"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def requests(service, endpoint=INFER):
    """How many calls of a method were answered, by their code."""
    return {
        sample[1]: value
        for sample, value in service.live.samples().items()
        if sample[0] == "predictor_requests_total" and sample[2] == endpoint and value
    }


async def until_counted(service, endpoint=INFER, **codes):
    """The count is made after the answer has gone."""
    expected = {code.removeprefix("c"): count for code, count in codes.items()}
    async with asyncio.timeout(20):
        while requests(service, endpoint) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_every_answer_has_an_id(tmp_path):
    """The one that was brought, a trace's, or a new one; also where it is an error."""
    async with called(tmp_path) as service:
        ask = service.client.ask
        brought = [("x-request-id", "ward-7")]
        assert (await ask(infer(ROW), brought)).metadata["x-request-id"] == "ward-7"
        refused = await ask(infer(ROW, model_name="n"), brought)
        assert refused.metadata["x-request-id"] == "ward-7"
        traced = await ask(infer(ROW), [("traceparent", PARENT)])
        assert traced.metadata["x-request-id"] == PARENT[3:35]
        for odd in ("a b", "x" * 129):
            made = (await ask(infer(ROW), [("x-request-id", odd)])).metadata["x-request-id"]
            assert len(made) == 32


async def test_every_call_is_counted(tmp_path):
    """Under its method's path, with the code that HTTP has for how it ended."""
    async with called(tmp_path) as service:
        await service.client.ask(infer(ROW))
        await service.client.ask(infer(ROW, model_name="n"))
        await service.client.ask(infer(ROW[:4]))
        await service.client.send("ModelInfer", b"\xff")
        await service.live.say(None)
        await service.client.ask(infer(ROW))
        await service.client.send("ModelConfig", b"")
        await until_counted(service, c200=1, c404=1, c400=2, c503=1)
        await until_counted(service, "other", c405=1)
        samples = service.live.samples()
        assert samples["predictor_request_duration_seconds_count", INFER] == 5


async def test_while_nothing_serves_clients_are_told_to_try_again(tmp_path):
    """UNAVAILABLE is what a client's policy of retries looks for; the pause is that of Retry-After."""
    async with called(tmp_path, None) as service:
        for message in (infer(ROW), pb.ModelMetadataRequest(name="m")):
            answer = await service.client.ask(message)
            assert answer.code is grpc.StatusCode.UNAVAILABLE
            assert answer.detail
            assert answer.metadata["grpc-retry-pushback-ms"] == "1000"


async def test_a_method_that_there_is_not_is_told_which_there_are(tmp_path):
    """Triton has more."""
    async with called(tmp_path) as service:
        answer = await service.client.send("RepositoryIndex", b"")
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED
        assert "ModelInfer" in answer.detail
        assert len(answer.metadata["x-request-id"]) == 32


async def test_keys_are_asked_for_as_over_http(tmp_path):
    """By all but the two that a load balancer asks; in either field."""
    file = tmp_path / "keys"
    file.write_text(f"ward:{hashlib.sha256(b'secret').hexdigest()}\n")
    async with called(tmp_path, api_keys_file=file) as service:
        ask = service.client.ask
        for message in (pb.ServerLiveRequest(), pb.ServerReadyRequest()):
            assert (await ask(message)).code is OK
        guarded = [
            infer(ROW), pb.ModelMetadataRequest(name="m"), pb.ModelReadyRequest(name="m"),
            pb.ServerMetadataRequest(),
        ]  # fmt: skip
        for message in guarded:
            with capture_logs() as lines:
                refused = await ask(message)
            assert refused.code is grpc.StatusCode.UNAUTHENTICATED, message
            assert "this route needs an API key" in refused.detail
            assert all(line["client"] == "127.0.0.1" for line in lines)
            for key in (("authorization", "Bearer secret"), ("x-api-key", "secret")):
                assert (await ask(message, [key])).code is OK
            wrong = await ask(message, [("x-api-key", "guess")])
            assert wrong.code is grpc.StatusCode.UNAUTHENTICATED
        await until_counted(service, c200=2, c401=2)


async def test_a_message_that_is_too_large_is_refused_and_counted(tmp_path, caplog):
    """As 413; far larger ones are not even read. The connection goes on."""
    async with called(tmp_path, max_body_bytes=1000) as service:
        named = "the body is larger than 1000 bytes, which PREDICTOR_MAX_BODY_BYTES allows"
        for count, said in ((125, named), (2500, named), (600_000, "larger than max")):
            large = infer(b"\0" * 8 * count, shape=(count, 2))
            answer = await service.client.ask(large)
            assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert said in answer.detail
        assert (await service.client.ask(infer(ROW))).code is OK
        await until_counted(service, c200=1, c413=2, c400=1)
    assert not caplog.records


async def test_a_compressed_message_is_refused(tmp_path):
    """A small one could grow to any size."""
    async with called(tmp_path) as service:
        body = infer(b"\0" * 8000, shape=(1000, 2)).SerializeToString()
        answer = await service.client.send("ModelInfer", body, compression=grpc.Compression.Gzip)
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED
        assert "gzip" in answer.detail


async def test_metadata_that_is_too_large_is_refused(tmp_path):
    """As a head would be."""
    async with called(tmp_path, max_header_bytes=1024) as service:
        answer = await service.client.ask(infer(ROW), [("x-padding", "a" * 2000)])
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await service.client.ask(infer(ROW))).code is OK


async def test_a_message_that_does_not_come_is_not_waited_for(tmp_path):
    """For no longer than a body is."""
    async with called(tmp_path, body_seconds=0.2) as service:
        call = service.client.channel.stream_unary(INFER)(timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert caught.value.details() == "the request did not arrive in time"
        await until_counted(service, c408=1)


async def test_more_connections_than_allowed_are_refused(tmp_path):
    """By closing new ones: the existing ones go on."""
    async with called(tmp_path, max_connections=2) as service:
        assert (await service.client.ask(infer(ROW))).code is OK
        async with Client(service.port) as second, Client(service.port) as third:
            assert (await second.ask(infer(ROW))).code is OK
            refused = await third.send("ModelInfer", infer(ROW).SerializeToString(), timeout=2)
            assert refused.code is grpc.StatusCode.UNAVAILABLE
            assert (await service.client.ask(infer(ROW))).code is OK


async def test_more_calls_than_allowed_are_told_to_try_again(tmp_path):
    """However many connections they came by."""
    async with called(tmp_path, max_connections=1) as service:
        begin = service.client.channel.stream_unary(INFER)
        waiting = begin(timeout=20)
        async with asyncio.timeout(20):
            while (answer := await service.client.ask(infer(ROW))).code is OK:
                if waiting.done():  # it came while a call was under way, and was refused itself
                    waiting = begin(timeout=20)
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.detail == "2 calls wait already; try again later"
        waiting.cancel()


async def test_a_client_that_leaves_is_counted_as_over_http(tmp_path, caplog):
    """And disturbs nobody, nor the log."""
    async with called(tmp_path) as service:
        call = service.client.channel.stream_unary(INFER)(timeout=0.1)
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        await until_counted(service, c400=1)
        assert (await service.client.ask(infer(ROW))).code is OK
    assert not caplog.records


class Broken:
    """A batcher with a fault of ours."""

    async def infer(self, *_):
        raise ValueError("a feature of 17.99")

    def submit(self, *_, **__):
        raise ValueError("a feature of 17.99")


async def test_a_fault_of_ours_says_nothing_of_what_was_sent(tmp_path, caplog):
    """Neither to the client nor in the log; the log has the id and where it happened."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    broken = grpc_server(live.service, batcher=Broken())
    async with broken, Client(broken.port) as client:
        with capture_logs([merge_contextvars]) as lines:
            answer = await client.ask(infer(ROW), [("x-request-id", "ward-7")])
    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.detail == "a fault of the service; its log has the details"
    (line,) = (line for line in lines if line["event"] == "internal_error")
    assert (line["endpoint"], line["error"], line["request_id"]) == (INFER, "ValueError", "ward-7")
    (traced,) = (record for record in caplog.records if record.exc_info)
    assert traced.message == "Exception in a call"


async def test_a_detail_is_never_so_long_that_clients_refuse_it(tmp_path):
    """What a client sent is not echoed at length, in any number of bytes a character."""
    async with called(tmp_path) as service:
        answer = await service.client.ask(infer(ROW, model_name="ä€" * 5000))
        assert answer.code is grpc.StatusCode.NOT_FOUND
        assert len(answer.detail) < 200


@pytest.mark.parametrize(
    ("peer", "client"),
    [("ipv4:127.0.0.1:52612", "127.0.0.1"), ("ipv6:%5B::1%5D:52612", "::1"), ("unix:", "")],
)
def test_the_address_of_a_client(peer, client):
    """As the log has it."""
    assert _client(peer) == client


@pytest.mark.parametrize(
    ("host", "reached"),
    [("[::]", ["127.0.0.1", "[::1]"]), ("[::1]", ["[::1]"]), ("::ffff:127.0.0.1", ["127.0.0.1"])],
)
async def test_it_listens_where_http_does(tmp_path, host, reached):
    """On both families at `::`, and with brackets as without."""
    async with called(tmp_path, host=host, allow_anonymous=True) as service:
        for address in ("127.0.0.1", "[::1]"):
            async with Client(service.port, host=address) as client:
                body = infer(ROW).SerializeToString()
                answer = await client.send(
                    "ModelInfer", body, timeout=20 if address in reached else 2
                )
                assert (answer.code is OK) == (address in reached), (address, answer)
