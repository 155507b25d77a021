"""Two workers that record, and whose processes are killed: each answered prediction is recorded, once."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import duckdb
import httpx
import pytest

from tests.end_to_end.parts import Registry, Service, wait_until

pytestmark = pytest.mark.whole


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= {child: command, **descendants(child)}
    return found


def recorded(folder: Path) -> list[str]:
    found = [str(each) for each in folder.rglob("*.parquet")]
    if not found:
        return []
    return [row[0] for row in duckdb.sql(f"select id from read_parquet({found})").fetchall()]


class Clients:
    """Threads that send requests without pause, each with an id of its own, until the `with` block ends.

    `accepted` are the ids of requests that got a 2xx.
    """

    def __init__(self, url: str, send: Callable[[httpx.Client, str], httpx.Response]) -> None:
        self.accepted: set[str] = set()
        # A connection for each request, so that every worker gets some.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, limits=limits, timeout=20)
        self._send = send
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]

    def _run(self, number: int) -> None:
        count = 0
        while not self._end.is_set():
            name = f"{number}-{count}"
            count += 1
            try:
                response = self._send(self._client, name)
            except httpx.TransportError:
                continue  # its worker was killed
            if response.is_success:
                self.accepted.add(name)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def asking(record: dict[str, object]) -> Callable[[httpx.Client, str], httpx.Response]:
    """Requests for a prediction of this record."""
    return lambda client, name: client.post("/predict", json=record, headers={"x-request-id": name})


def test_killed_processes_lose_no_record(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers and the writer, by SIGKILL, under load; then the service stops."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
    registry.stage("1", "Production")
    service = serve(
        registry,
        PREDICTOR_WORKERS="2",
        PREDICTOR_RECORD_URI=str(tmp_path / "records"),
        PREDICTOR_RECORD_SECONDS="0.5",
    )
    service.until_serving("1")
    pid = service.child.process.pid

    def processes(part: str) -> list[int]:
        return [each for each, command in descendants(pid).items() if part in command]

    with Clients(service.child.url, asking(service.example())) as clients:
        for part in ("predictor.recording.writer", "predictor.workers.worker") * 2:
            wait_until(lambda: processes(part), f"{part} runs")  # noqa: B023
            before = len(clients.accepted)
            wait_until(lambda: len(clients.accepted) > before + 30, "predictions come")  # noqa: B023
            os.kill(processes(part)[0], signal.SIGKILL)
        before = len(clients.accepted)
        wait_until(lambda: len(clients.accepted) > before + 30, "predictions come again")
    os.kill(pid, signal.SIGTERM)
    service.child.process.wait(60)
    found = recorded(tmp_path / "records")
    assert clients.accepted - {*found} == set()
    assert len(found) == len({*found})


def test_records_of_a_killed_service_are_written_after_its_start(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All its processes are killed at once; the next start, on the same folder, repairs what they left."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)
    registry.stage("1", "Production")
    settings = {
        "PREDICTOR_RECORD_URI": str(tmp_path / "records"),
        "PREDICTOR_RECORD_SPOOL_DIR": str(tmp_path / "spool"),
    }
    service = serve(registry, "first", **settings)
    service.until_serving("1")
    with Clients(service.child.url, asking(service.example())) as clients:
        wait_until(lambda: len(clients.accepted) > 30, "predictions come")
        pid = service.child.process.pid
        for each in [*descendants(pid), pid]:
            os.kill(each, signal.SIGKILL)
    assert recorded(tmp_path / "records") == []
    again = serve(registry, "second", **settings)
    again.until_serving("1")
    wait_until(
        lambda: (
            clients.accepted <= {*recorded(tmp_path / "records")}
            if [*(tmp_path / "records").rglob("*.parquet")]
            else False
        ),
        "all are written",
    )
    assert "records_recovered" in again.child.log.read_text()
