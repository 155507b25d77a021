"""The server of gRPC: where it listens, with which certificate, and how it ends."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from collections import Counter

import grpc
import pytest
from structlog.testing import capture_logs

from demo.processes import ROOT, free_port, predictor_settings
from tests.hostile.test_tls import Pair, pairs
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.protocols.open_inference.grpc.parts import Client, called, grpc_server, infer

__all__ = ["pairs"]  # a fixture

ROW = infer(struct.pack("<2f", 1.0, 0.0))
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


async def test_a_port_in_use_is_said(tmp_path):
    """And nothing is shared, neither with a stranger nor with another service."""
    port = free_port()
    async with called(tmp_path, grpc_port=port):
        live = Live(tmp_path / "second", grpc_port=port)
        with capture_logs() as lines, pytest.raises(RuntimeError):
            async with grpc_server(live.service):
                pass
    (line,) = lines
    assert (line["event"], line["port"]) == ("cannot_listen", port)


def test_a_port_that_somebody_has_ends_the_start(tmp_path):
    """Also of several workers, which would share it with a second service."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        env = {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "PREDICTOR_GRPC_PORT": str(port),
            "PREDICTOR_WORKERS": "2", **predictor_settings(tmp_path, free_port()),
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-m", "predictor"],
            cwd=ROOT, env={**os.environ, **env},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (line["event"], line["port"]) == ("cannot_listen", port)
    assert "in use" in line["reason"]


async def test_workers_share_a_port(tmp_path):
    """Each has some of the connections, and one that ends leaves them to the others."""
    port = free_port()
    async with called(tmp_path / "1", grpc_port=port, workers=2) as first:
        async with called(tmp_path / "2", grpc_port=port, workers=2) as second:
            counts = [0, 0]
            while not all(counts):
                async with Client(port) as client:
                    assert (await client.ask(ROW)).code is OK
                counts = [
                    each.live.samples()["predictor_batch_rows_sum",] for each in (first, second)
                ]
        async with Client(port) as client:
            assert (await client.ask(ROW)).code is OK


@pytest.mark.parametrize("in_one_file", [False, True])
async def test_it_serves_with_the_certificate_of_https(
    pairs: tuple[Pair, Pair], tmp_path, in_one_file
):
    """Whose key may be in the same file; who speaks without TLS is not answered."""
    pair = pairs[0]
    settings = (
        {"tls_certificate": pair.both}
        if in_one_file
        else {"tls_certificate": pair.certificate, "tls_key": pair.key}
    )
    trusts = grpc.ssl_channel_credentials(pair.certificate.read_bytes())
    async with called(tmp_path, **settings) as service:
        async with Client(service.port, trusts) as client:
            assert (await client.ask(ROW)).code is OK
        plain = await service.client.send("ModelInfer", ROW.SerializeToString(), timeout=2)
        assert plain.code is UNAVAILABLE


async def test_no_call_is_lost_at_the_end(tmp_path):
    """Of clients that ask without a pause: what was not answered was never begun, and can be sent again."""
    live = Live(tmp_path)
    await live.serve(1, OURS)
    ended = Counter()

    async def flow(client: Client) -> None:
        while (answer := await client.ask(ROW)).code is OK:
            ended["answered"] += 1
        ended[answer.code] += 1
        assert "connect" in answer.detail, answer

    async with contextlib.AsyncExitStack() as stack:
        async with grpc_server(live.service) as server:
            clients = [await stack.enter_async_context(Client(server.port)) for _ in range(4)]
            flows = [asyncio.create_task(flow(each)) for each in clients for _ in range(8)]
            while ended["answered"] < 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            server.begin_stop()
        await asyncio.gather(*flows)
    assert ended[UNAVAILABLE] == len(flows)
    counted = live.samples()[
        "predictor_requests_total", "200", "/inference.GRPCInferenceService/ModelInfer"
    ]
    assert counted == ended["answered"]


async def test_a_call_that_does_not_end_does_not_put_off_the_end(tmp_path):
    """Its client is told when the time is up, and it is counted as 503."""
    live = Live(tmp_path, shutdown_seconds=1)
    endpoint = "/inference.GRPCInferenceService/ModelInfer"
    async with contextlib.AsyncExitStack() as stack:
        async with grpc_server(live.service) as server:
            client = await stack.enter_async_context(Client(server.port))
            await client.ask(ROW)
            hanging = client.channel.stream_unary(endpoint)(timeout=30)
            await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError):
            await hanging
    assert live.samples()["predictor_requests_total", "503", endpoint] == 2


async def test_a_connection_that_says_nothing_is_closed(tmp_path):
    """After the time that a head has."""
    async with called(tmp_path, header_seconds=0.2) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        async with asyncio.timeout(20):
            while await reader.read(1024):
                pass
        writer.close()
        with socket.create_connection(("127.0.0.1", service.port)):
            assert (await service.client.ask(ROW)).code is OK
