"""`ModelStreamInfer`, over a real connection: its responses, its bounds, and its ends."""

import asyncio
import contextlib
import gc
import hashlib
import struct

import grpc
import numpy as np
import pytest
from structlog.testing import capture_logs

from demo.processes import free_port
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from tests.predictor.graphs import OURS, classifier
from tests.predictor.live import Live
from tests.predictor.protocols.open_inference.grpc.parts import (
    SERVICE,
    Client,
    ClientStream,
    called,
    grpc_server,
    infer,
)

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
ROW = struct.pack("<2f", 1.0, 0.0)
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
"""Options of a client that takes 64 KiB of responses from the network before it reads them."""
ENDPOINT = SERVICE + "ModelStreamInfer"


@pytest.fixture
async def service(tmp_path):
    async with called(tmp_path) as service:
        yield service


def counted(live, endpoint=ENDPOINT):
    """The requests of a method, by code."""
    return {
        sample[1]: value
        for sample, value in live.samples().items()
        if sample[0] == "predictor_requests_total" and sample[2] == endpoint and value
    }


async def until(condition):
    """Wait for a condition, for so long that only a hang fails."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def rows(count, **request):
    """A request with so many rows, and the log odds of each."""
    table = np.linspace(-3, 3, count * 2, dtype="<f4").reshape(count, 2)
    odds = 2 * (table @ np.array([1.0, -2.0], np.float32))
    return infer(table.tobytes(), shape=(count, 2), **request), 1 / (1 + np.exp(-odds))


async def answered(stream):
    """How many responses come before the stream ends with an error."""
    count = 0
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await stream.receive():
            count += 1
    return count


async def test_responses_come_in_the_order_of_the_requests(service):
    """Also if a later one is computed earlier: a large request is computed in a thread."""
    sizes = [5000, 1, 1, 3000, *[1] * 40, 2]
    requests = [rows(size, id=f"r{number}") for number, size in enumerate(sizes)]
    stream = ClientStream(service.client, [("x-request-id", "ward-7")])
    responses = await stream.ask(*(request for request, _ in requests))
    for number, ((_, expected), each) in enumerate(zip(requests, responses, strict=True)):
        response = each.infer_response
        assert not each.error_message
        assert (response.id, response.model_version) == (f"r{number}", "1")
        assert response.parameters["triton_final_response"].bool_param is True
        scores = np.frombuffer(response.raw_output_contents[1], "<f4").reshape(-1, 2)
        assert scores[:, 0] == pytest.approx(expected, abs=1e-5)
    await stream.call.done_writing()
    ended = await stream.end()
    assert (ended.code, ended.metadata) == (OK, {"x-request-id": "ward-7"})
    await until(lambda: counted(service.live) == {"200": len(sizes)})
    assert service.live.samples()["predictor_request_duration_seconds_count", ENDPOINT] == len(
        sizes
    )


async def test_a_response_is_that_of_a_call(service):
    """For raw and typed contents, and for chosen outputs."""
    chosen = infer(ROW, id="c")
    chosen.outputs.add(name="probabilities")
    stream = ClientStream(service.client)
    for request in (infer(ROW, id="a"), infer(id="b"), chosen):
        (streamed,) = await stream.ask(request)
        del streamed.infer_response.parameters["triton_final_response"]
        assert streamed.infer_response == (await service.client.ask(request)).message


async def test_an_error_is_the_response_to_its_request_alone(tmp_path):
    """It has the text that a call gets, and the id; the stream goes on."""
    async with called(tmp_path, max_body_bytes=1000) as service:
        faulty = [
            infer(ROW, model_name="n", id="a"), infer(ROW, model_version="7", id="b"),
            infer(ROW[:4], id="c"), infer(ROW, datatype="INT8", id="d"), rows(200, id="e")[0],
        ]  # fmt: skip
        stream = ClientStream(service.client)
        for request in faulty:
            refused, served = await stream.ask(request, infer(ROW, id="next"))
            assert refused.error_message == (await service.client.ask(request)).detail
            assert refused.infer_response == pb.ModelInferResponse(id=request.id)
            assert (served.error_message, served.infer_response.id) == ("", "next")
        (unread,) = await stream.ask(b"\xff")
        assert unread.error_message == "the request is not a inference.ModelInferRequest"
        assert not unread.infer_response.id
        await until(lambda: counted(service.live) == {"200": 5, "404": 2, "400": 3, "413": 1})
        assert stream.call.done() is False


async def test_a_message_that_grpc_refuses_ends_the_stream(tmp_path):
    """A message far above the limit is not even read."""
    async with called(tmp_path, max_body_bytes=1000) as service:
        stream = ClientStream(service.client)
        await stream.ask(infer(ROW))
        await stream.send(rows(600_000)[0])
        assert (await stream.end()).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await service.client.ask(infer(ROW))).code is OK


async def test_while_nothing_serves_the_stream_stays(tmp_path):
    """Each request gets the reason, until a version serves."""
    async with called(tmp_path, None) as service:
        stream = ClientStream(service.client)
        (refused,) = await stream.ask(infer(ROW, id="a"))
        assert refused.error_message == (await service.client.ask(infer(ROW))).detail
        assert refused.infer_response.id == "a"
        await service.live.serve(1, OURS)
        (served,) = await stream.ask(infer(ROW, id="b"))
        assert (served.infer_response.id, served.infer_response.model_version) == ("b", "1")
        await until(lambda: counted(service.live) == {"503": 1, "200": 1})


async def test_a_thousand_requests_under_swaps_are_all_answered_right(service):
    """Each by the version that serves then: what it names is what it computed."""
    weights = {"1": (1.0, -2.0)} | {str(n): (float(n), -1.0) for n in range(2, 7)}
    stream, swaps = ClientStream(service.client), 0

    async def swap():
        nonlocal swaps
        for version in [*weights][1:]:
            await asyncio.sleep(0.03)
            await service.live.serve(int(version), classifier(weights[version]))
            swaps += 1

    sending = asyncio.create_task(stream.send(*(infer(ROW, id=str(n)) for n in range(1000))))
    swapping = asyncio.create_task(swap())
    versions = []
    for number in range(1000):
        response = (await stream.receive()).infer_response
        assert response.id == str(number)
        versions.append(response.model_version)
        score = np.frombuffer(response.raw_output_contents[1], "<f4")[0]
        assert score == pytest.approx(1 / (1 + np.exp(-2 * weights[versions[-1]][0])), abs=1e-5)
    await sending
    await swapping
    (last,) = await stream.ask(infer(ROW))
    assert last.infer_response.model_version == "6"
    assert versions == sorted(versions)
    assert len(set(versions)) > 1
    await until(lambda: counted(service.live) == {"200": 1001})


async def test_streams_join_the_tick_of_the_batcher(service):
    """Rows that arrive together, by streams and by calls, become one computation."""
    streams = [ClientStream(service.client) for _ in range(16)]
    await asyncio.gather(*(stream.ask(infer(ROW)) for stream in streams))
    await asyncio.gather(
        *(stream.ask(*[infer(ROW)] * 20) for stream in streams),
        *(service.client.ask(infer(ROW)) for _ in range(20)),
    )
    samples = service.live.samples()
    assert samples["predictor_batch_rows_sum",] == 16 * 21 + 20
    assert samples["predictor_batch_rows_count",] < 16 * 21 + 20


async def test_a_stream_that_is_ahead_is_slowed_and_not_refused(tmp_path):
    """However few requests may wait."""
    async with called(tmp_path, max_queued_rows=2, max_queued_batches=8) as service:
        stream = ClientStream(service.client)
        small = await stream.ask(*[infer(ROW)] * 300)
        large = await stream.ask(*[rows(3000)[0]] * 30)
        assert not any(each.error_message for each in small + large)


async def test_a_client_that_does_not_read_cannot_grow_memory(tmp_path):
    """The service reads no further request, and the rest waits at the client; until it reads again."""
    async with called(tmp_path) as service, Client(service.port, options=SMALL_WINDOW) as client:
        stream = ClientStream(client)
        request = rows(2000)[0]
        sending = asyncio.create_task(stream.send(*[request] * 500))  # gRPC buffers 4 MiB of them
        await until(lambda: service.live.samples()["predictor_batch_rows_sum",])
        await asyncio.sleep(1)
        assert service.live.samples()["predictor_batch_rows_sum",] < 50 * 2000
        assert not sending.done()
        (held,) = service.server._calls._streams
        assert held._size < 8 * 16_384 + len(request.SerializeToString())
        responses = [await stream.receive() for _ in range(50)]
        assert not any(each.error_message for each in responses)
        sending.cancel()


async def test_a_client_that_does_not_read_is_idle(tmp_path):
    """It loses its stream, and what was under way counts as 408."""
    async with (
        called(tmp_path, keep_alive_seconds=1) as service,
        Client(service.port, options=SMALL_WINDOW) as client,
    ):
        stream = ClientStream(client)
        sending = asyncio.create_task(stream.send(*[rows(2000)[0]] * 100))
        await until(lambda: "408" in counted(service.live))
        (held,) = service.server._calls._streams
        assert not held._requests
        assert await answered(stream) < 50
        assert (await stream.end()).code is grpc.StatusCode.DEADLINE_EXCEEDED
        sending.cancel()
        assert (await service.client.ask(infer(ROW))).code is OK


async def test_an_idle_stream_ends(tmp_path):
    """As an idle connection does; not one whose request is computed, or that is used."""
    async with called(tmp_path, keep_alive_seconds=1) as service:
        idle, used = ClientStream(service.client), ClientStream(service.client)
        began = asyncio.get_running_loop().time()
        while not idle.call.done():
            await used.ask(infer(ROW))
            await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began > 0.9
        ended = await idle.end()
        assert ended.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended.detail == "the stream was idle for 1 s; begin a new one"
        await used.ask(infer(ROW))
        await until(lambda: len(service.server._calls._streams) == 0)


async def test_streams_count_as_calls(tmp_path):
    """More than there may be are refused, and counted."""
    async with called(tmp_path, max_connections=1) as service:
        stream = ClientStream(service.client)
        await stream.ask(infer(ROW))
        refused = await ClientStream(service.client).end()
        assert (refused.code, refused.detail) == (
            UNAVAILABLE,
            "2 calls wait already; try again later",
        )
        assert refused.metadata["grpc-retry-pushback-ms"] == "1000"
        assert (await service.client.ask(infer(ROW))).code is UNAVAILABLE
        await stream.call.done_writing()
        await stream.end()
        await until(lambda: counted(service.live) == {"200": 1, "503": 1})
        await ClientStream(service.client).ask(infer(ROW))


async def test_a_client_that_leaves_leaks_nothing(tmp_path, caplog):
    """Whether it was idle or awaited responses; what was under way is counted as 400."""
    async with called(tmp_path) as service:
        calls = service.server._calls
        tasks = len(asyncio.all_tasks())
        for number in range(20):
            stream = ClientStream(service.client)
            await stream.ask(infer(ROW))
            if number % 2:
                await stream.send(*[rows(5000)[0]] * 3)
            stream.call.cancel()
        await until(lambda: not calls._streams and calls._under_way == 0)
        del stream
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        codes = counted(service.live)
        assert codes.pop("200") >= 20
        assert codes.keys() <= {"400"}
        assert (await service.client.ask(infer(ROW))).code is OK
        gc.collect()
    assert not caplog.records


async def test_a_stream_needs_a_key(tmp_path):
    """Before its first message, and it is counted."""
    file = tmp_path / "keys"
    file.write_text(f"ward:{hashlib.sha256(b'secret').hexdigest()}\n")
    async with called(tmp_path, api_keys_file=file) as service:
        refused = await ClientStream(service.client, [("x-api-key", "guess")]).end()
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        stream = ClientStream(service.client, [("authorization", "Bearer secret")])
        await stream.ask(infer(ROW))
        await until(lambda: counted(service.live) == {"401": 1, "200": 1})


async def test_a_stream_ends_with_its_key(tmp_path):
    """When the file without the key is read: no further request is; streams of other keys go on."""
    file = tmp_path / "keys"
    lines = [f"{key}:{hashlib.sha256(key.encode()).hexdigest()}\n" for key in ("ward", "clinic")]
    file.write_text("".join(lines))
    live = Live(tmp_path, api_keys_file=file, grpc_port=free_port())
    await live.serve(1, OURS)
    async with live.service.grpc as server, Client(server.port) as client:
        idle, busy, other = (
            ClientStream(client, [("x-api-key", key)]) for key in ("ward", "ward", "clinic")
        )
        for stream in (idle, busy, other):
            await stream.ask(infer(ROW))
        await busy.send(*[rows(3000)[0]] * 50)
        file.write_text(lines[1])
        with capture_logs() as logged:
            await live.service.access.reload()
        ended = await idle.end()
        assert ended.code is grpc.StatusCode.UNAUTHENTICATED
        assert "this API key is not authorised for this route" in ended.detail
        assert 0 < await answered(busy) <= 50
        assert (await busy.end()).code is grpc.StatusCode.UNAUTHENTICATED
        assert "key_refused" in {line["event"] for line in logged}
        (response,) = await other.ask(infer(ROW))
        assert not response.error_message


async def test_a_stop_ends_idle_streams(tmp_path):
    """At once, with the status that says to try another replica."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    async with contextlib.AsyncExitStack() as stack:
        async with grpc_server(live.service) as server:
            client = await stack.enter_async_context(Client(server.port))
            streams = [ClientStream(client) for _ in range(5)]
            for stream in streams[1:]:
                await stream.ask(infer(ROW))
            await until(lambda: len(server._calls._streams) == len(streams))
        for stream in streams:
            ended = await stream.end()
            assert (ended.code, ended.detail) == (
                UNAVAILABLE,
                "the service stops; ask another replica",
            )
            assert ended.metadata["grpc-retry-pushback-ms"] == "1000"
    assert counted(live) == {"200": 4}


async def test_a_stop_answers_what_is_under_way(tmp_path):
    """A client that waits for its responses loses none; of one that is ahead, the first ones are answered."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    done = 0

    async def flow(stream):
        nonlocal done
        while True:
            try:
                await stream.send(*[infer(ROW)] * 8)
                await stream.receive()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call has ended
                return
            for _ in range(7):  # none of them may fail
                await stream.receive()
            done += 8

    async with contextlib.AsyncExitStack() as stack:
        async with grpc_server(live.service) as server:
            client = await stack.enter_async_context(Client(server.port))
            flows = [asyncio.create_task(flow(ClientStream(client))) for _ in range(6)]
            ahead = ClientStream(client)
            await until(lambda: done > 100)
            await ahead.send(*[rows(3000)[0]] * 50)
            server.begin_stop()
        await asyncio.gather(*flows)
        rest = await answered(ahead)
        assert 0 < rest <= 50
        assert (await ahead.end()).code is UNAVAILABLE
    assert counted(live) == {"200": done + rest}


async def test_a_stream_that_does_not_end_does_not_put_off_the_end(tmp_path):
    """That of a client that does not read: it is cancelled when the time is up."""
    live = Live(tmp_path, shutdown_seconds=1)
    await live.serve(1, OURS)
    async with contextlib.AsyncExitStack() as stack:
        async with grpc_server(live.service) as server:
            client = await stack.enter_async_context(Client(server.port, options=SMALL_WINDOW))
            stream = ClientStream(client)
            sending = asyncio.create_task(stream.send(*[rows(2000)[0]] * 100))
            await until(lambda: counted(live))
            await asyncio.sleep(0.5)
        sending.cancel()
    assert counted(live)["503"]


class Broken:
    """A batcher with a fault of ours."""

    def submit(self, _, body, callback, *, trace):
        if len(body) > 100:
            raise ValueError("a feature of 17.99")
        asyncio.get_running_loop().call_soon(callback, ValueError("a feature of 17.99"))


async def test_a_fault_of_ours_says_nothing_of_what_was_sent(tmp_path, caplog):
    """Neither to the client nor in the log; the stream goes on."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    detail = "a fault of the service; its log has the details"
    broken = grpc_server(live.service, batcher=Broken())
    async with broken, Client(broken.port) as client:
        stream = ClientStream(client)
        for response in await stream.ask(infer(ROW, id="a"), rows(100, id="a")[0]):
            assert (response.error_message, response.infer_response.id) == (detail, "a")
    assert [record.message for record in caplog.records] == ["Exception in a call"] * 2
    assert counted(live) == {"500": 2}
