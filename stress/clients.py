"""Clients on persistent connections, in a separate process; each checks every answer."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

from stress.requests import ClientRequest, Connection, client_requests
from stress.tally import ClientCounts, Tally
from stress.truth import Truth, WrongAnswerError

_TIMEOUT_SECONDS = 60  # only a hang takes so long
_OK = 200


@dataclass(frozen=True)
class Load:
    """The number of clients, and the maximum pause between an answer and the next request."""

    clients: int = 32
    pause_seconds: float = 0.01


class Clients:
    """Handle of the clients' process."""

    def __init__(self, url: str, truth: Truth, load: Load) -> None:
        spawn = get_context("spawn")
        self._pipe, child_pipe = spawn.Pipe()
        self._process = spawn.Process(
            target=_main, args=(child_pipe, url, truth, load), daemon=True
        )
        self._process.start()
        child_pipe.close()

    def until_started(self) -> None:
        """Wait for the first answer. Raises EOFError if the process ended."""
        self._pipe.recv()

    def phase(self, name: str) -> None:
        """Count requests from now on in this phase."""
        self._pipe.send(name)

    def stop(self) -> Tally:
        """Wait for all running requests, stop, and return the counts."""
        self._pipe.send(None)
        tally: Tally = self._pipe.recv()
        self._process.join()
        return tally

    def kill(self) -> None:
        """End the process if it runs."""
        self._process.kill()
        self._process.join()


def _main(pipe: Pipe, url: str, truth: Truth, load: Load) -> None:
    with suppress(KeyboardInterrupt):
        pipe.send(asyncio.run(_run_clients(pipe, url, truth, load)))


async def _run_clients(pipe: Pipe, url: str, truth: Truth, load: Load) -> Tally:
    counts, started, done = ClientCounts("starting"), asyncio.Event(), asyncio.Event()

    def on_command() -> None:
        name = pipe.recv()
        if name is None:
            done.set()
        else:
            counts.phase = name

    async def one(seed: int) -> None:
        choices = random.Random(seed)  # noqa: S311  the same choices in every run
        requests = client_requests(truth, url, choices)
        shares = [request.share for request in requests]
        with Connection(url) as connection:
            while not done.is_set():
                await _send(connection, choices.choices(requests, shares)[0], counts)
                started.set()
                await asyncio.sleep(choices.random() * load.pause_seconds)

    asyncio.get_running_loop().add_reader(pipe.fileno(), on_command)
    tasks = [asyncio.create_task(one(seed)) for seed in range(load.clients)]
    await started.wait()
    pipe.send("started")
    await asyncio.gather(*tasks)
    return counts.tally()


async def _send(connection: Connection, request: ClientRequest, counts: ClientCounts) -> None:
    phase, started = counts.phase, time.perf_counter()
    counts.requests[request.endpoint] += 1
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            status, body = await connection.send(request.content)
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # TimeoutError is an OSError
        connection.close()
        counts.note_lost(f"{request.endpoint}: {type(error).__name__} {error}")
        await asyncio.sleep(0.05)  # limits the requests to a stopped service
        return
    counts.took(phase, time.perf_counter() - started)
    if status != _OK:
        counts.note_lost(f"{request.endpoint}: {status} {body[:200]!r}")
        return
    try:
        version = request.check(body, request.records)
    except WrongAnswerError as error:
        counts.note_wrong(f"{request.endpoint}: {error}")
    else:
        if version is not None:
            counts.versions[version] += 1
