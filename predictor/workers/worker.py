"""One of several processes that serve on one port: `python -m predictor.workers.worker POST`, by a supervisor."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from predictor import logs, signals
from predictor.composition import Company, compose, serve
from predictor.counting.counts import Counts
from predictor.errors import SettingsError
from predictor.settings import Settings
from predictor.watcher import Turn
from predictor.workers import presence
from predictor.workers.arrival import Arrival
from predictor.workers.blocks import Blocks
from predictor.workers.news import News
from predictor.workers.post import Post

_END_SECONDS = 6  # beyond `shutdown_seconds`, for a worker without a supervisor


def main() -> int:
    """Serve at the post that the one argument describes; return the exit code."""
    signals.prepare()
    post = Post.read(sys.argv[1])
    try:
        settings = Settings.read()
        blocks, news = Blocks(post.memory), News(socket.socket(fileno=post.line))
        arrival = Arrival()
        company = Company(
            blocks.worker(post.worker),
            blocks.siblings(post.worker),
            blocks.supervisor(),
            [news.observe, arrival.observe],
            Turn(post.worker, post.workers, post.since),
        )
        service = compose(settings, company)
    except SettingsError as error:
        sys.stderr.write(f"mlflow-hotswap: {error}\n")
        return 2
    logs.set_up(settings.log_level, worker=post.worker)

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        news.listen(service.watcher.nudge, lambda: _end(settings.shutdown_seconds))
        await arrival.over(service.reconciler.settled)
        beating = asyncio.create_task(_beat(company.own))
        presence.begin(company.own)
        yield
        presence.end(company.own)
        beating.cancel()

    return serve(replace(service, beside=beside), socket.socket(fileno=post.listener))


async def _beat(counts: Counts) -> None:
    while True:
        presence.beat(counts)
        await asyncio.sleep(presence.BEAT_SECONDS)


def _end(shutdown_seconds: float) -> None:
    """The supervisor has gone: finish what is in flight, and go too."""
    logs.log.error("supervisor_ended", next="this worker finishes what is in flight, and ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(shutdown_seconds + _END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
