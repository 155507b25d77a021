"""The clients of the stress run count wrong answers, error statuses and lost connections."""

import asyncio
import json

import pytest

from stress.clients import Clients, Load
from stress.truth import Reference, Truth

TRUTH = Truth("m", ({"a": 1.0},), (Reference("d", ({"yes": 0.25, "no": 0.75},)),))
NAMED = {"model_name": "m", "model_version": "1"}
RIGHT = {"prediction": "no", "probability": 0.75, "probabilities": {"yes": 0.25, "no": 0.75}}
WRONG = {"prediction": "no", "probability": 0.76, "probabilities": {"yes": 0.24, "no": 0.76}}
ANSWERS = {
    "/ready": {"status": "ok", **NAMED},
    "/health": {"status": "ok"},
    "/model": {"serving": {**NAMED, "digest": "sha256:d"}},
    "/openapi.json": {"components": {"schemas": {"Record": {"properties": {"a": {}}}}}},
}
METRICS = (
    b'predictor_model_info{digest="d",model_name="m",model_version="1",run_id="r"} 1.0\n'
    b'predictor_model_version{model_name="m"} 1.0\n'
)


def answer(path: str, body: bytes, row: dict) -> bytes:
    if path == "/metrics":
        return METRICS
    if path == "/predict":
        return json.dumps({**NAMED, **row}).encode()
    if path == "/predict/batch":
        rows = [row] * len(json.loads(body)["instances"])
        return json.dumps({**NAMED, "predictions": rows}).encode()
    return json.dumps(ANSWERS[path]).encode()


async def tally_of(every_hundredth, row=RIGHT):
    """The counts of clients whose server replaces every hundredth answer."""
    count = 0

    async def serve(reader, writer):
        nonlocal count
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            length = head.partition(b"Content-Length: ")[2].split()
            body = await reader.readexactly(int(length[0])) if length else b""
            count += 1
            status, given = 200, row
            if count % 100 == 0:
                if every_hundredth is None:
                    writer.close()
                    return
                status, given = every_hundredth
            content = answer(path, body, given)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(content)))
            writer.write(content)

    async def guarded(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    clients = Clients(url, TRUTH, Load(clients=4, pause_seconds=0.001))
    try:
        await asyncio.to_thread(clients.until_started)
        clients.phase("quiet")
        while count < 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return await asyncio.to_thread(clients.stop)
    finally:
        clients.kill()
        server.close()


async def test_correct_answers_are_only_counted():
    """Clients call every endpoint, and latencies are counted by phase."""
    tally = await tally_of((200, RIGHT))
    assert (tally.wrong, tally.lost, tally.faults) == (0, 0, ())
    assert set(tally.requests) == {*ANSWERS, "/predict", "/predict/batch", "/metrics"}
    assert sum(tally.requests.values()) >= 1000
    assert set(tally.versions) == {"1"}
    assert 0 < tally.phases["quiet"].median <= tally.phases["quiet"].slowest


async def test_a_wrong_answer_is_found():
    """One of 100 predictions differs by 0.01."""
    tally = await tally_of((200, WRONG))
    assert tally.wrong > 0
    assert tally.lost == 0
    assert any("record 0, version 1" in fault for fault in tally.faults)


@pytest.mark.parametrize("instead", [(503, RIGHT), (500, RIGHT), None], ids=str)
async def test_a_lost_answer_is_found(instead):
    """Another status, or a closed connection; the client continues."""
    tally = await tally_of(instead)
    assert tally.lost > 0
    assert tally.wrong == 0
    assert sum(tally.requests.values()) >= 1000
