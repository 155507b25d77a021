"""Clients on persistent connections, in a process of their own; each checks every answer it gets."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

from stress.asks import Ask, Connection, asks
from stress.tally import ClientCounts, Tally
from stress.truth import Truth, WrongAnswerError

_LONGEST_SECONDS = 60  # so wide that only a hang reaches it
_OK = 200


@dataclass(frozen=True)
class Load:
    """How many clients, and how long each waits at most between an answer and its next request."""

    clients: int = 32
    pause_seconds: float = 0.01


class Clients:
    """The clients' process, as the one that started it speaks to it."""

    def __init__(self, url: str, truth: Truth, load: Load) -> None:
        context = get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_main, args=(there, url, truth, load), daemon=True)
        self._process.start()
        there.close()

    def until_started(self) -> None:
        """Return once the first answer is in. Raises EOFError where the process ended."""
        self._pipe.recv()

    def phase(self, name: str) -> None:
        """What is asked from now on belongs to this phase."""
        self._pipe.send(name)

    def stop(self) -> Tally:
        """Let every request that is on its way end, and return the counts."""
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
        pipe.send(asyncio.run(_ask_all(pipe, url, truth, load)))


async def _ask_all(pipe: Pipe, url: str, truth: Truth, load: Load) -> Tally:
    counts, started, done = ClientCounts("starting"), asyncio.Event(), asyncio.Event()

    def on_command() -> None:
        name = pipe.recv()
        if name is None:
            done.set()
        else:
            counts.phase = name

    async def one(seed: int) -> None:
        choices = random.Random(seed)  # noqa: S311  the same choices in every run
        mine = asks(truth, url, choices)
        shares = [ask.share for ask in mine]
        with Connection(url) as connection:
            while not done.is_set():
                await _ask(connection, choices.choices(mine, shares)[0], counts)
                started.set()
                await asyncio.sleep(choices.random() * load.pause_seconds)

    asyncio.get_running_loop().add_reader(pipe.fileno(), on_command)
    tasks = [asyncio.create_task(one(seed)) for seed in range(load.clients)]
    await started.wait()
    pipe.send("started")
    await asyncio.gather(*tasks)
    return counts.tally()


async def _ask(connection: Connection, ask: Ask, counts: ClientCounts) -> None:
    phase, started = counts.phase, time.perf_counter()
    counts.requests[ask.endpoint] += 1
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            status, body = await connection.exchange(ask.request)
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # TimeoutError is an OSError
        connection.close()
        counts.note_lost(f"{ask.endpoint}: {type(error).__name__} {error}")
        await asyncio.sleep(0.05)  # a service that is gone must not be asked a million times
        return
    counts.took(phase, time.perf_counter() - started)
    if status != _OK:
        counts.note_lost(f"{ask.endpoint}: {status} {body[:200]!r}")
        return
    try:
        version = ask.check(body, ask.records)
    except WrongAnswerError as error:
        counts.note_wrong(f"{ask.endpoint}: {error}")
    else:
        if version is not None:
            counts.versions[version] += 1
