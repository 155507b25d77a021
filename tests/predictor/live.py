"""A whole service around a fake source: every part real but the registry."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from predictor.events import Event, Observe
from predictor.model.loader import load
from predictor.operations.journal import Journal
from predictor.reconcile.poller import PollSchedule
from predictor.service import WorkerContext, compose, create_api, wrap
from predictor.settings import Settings
from tests.predictor.parts import FakeSource, version, write_artifact
from tests.predictor.sockets import OneWrite, listening


class Served(FakeSource):
    """A source whose versions have the graphs that a test gave them."""

    graphs: dict[str, tuple[bytes, str | None]]

    def files(self, version):
        model, signature = self.graphs[version.version]
        return write_artifact(self._folder / version.version, model, signature)


class Live:
    """The service, its source, and a client that talks to it without a socket."""

    def __init__(
        self, folder: Path, load: Any = load, observers: Sequence[Observe] = (), **settings: Any
    ) -> None:
        self.source = Served(folder)
        self.source.graphs = {}
        self.events: list[Event] = []
        chosen = {
            "model_uri": "models:/m/Production",
            "max_event_streams": 2,
            "poll_seconds": 3600,
            **settings,
        }
        self.service = compose(
            Settings(MLFLOW_TRACKING_URI="http://registry", **chosen),
            # Its turn came a second ago: none comes while a test runs.
            WorkerContext(
                schedule=PollSchedule(since=time.monotonic() - 1),
                observers=[self.events.append, *observers],
            ),
            source=self.source,
            load=load,
            make_journal=partial(Journal, kept=16, silence_seconds=0.2),
        )
        self.metrics, self.exposition = self.service.metrics, self.service.exposition
        self.journal, self.reconciler = self.service.journal, self.service.reconciler
        self.api = create_api(self.service)
        self.app = wrap(self.api, self.service)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service")

    @contextlib.asynccontextmanager
    async def on_socket(self) -> AsyncIterator[None]:
        """Let the client talk over a socket, and so by the fast lane, unless settings close it."""
        async with listening(self.app, self.service) as address:
            self.client = httpx.AsyncClient(
                transport=OneWrite(address), base_url=f"http://127.0.0.1:{address.port}"
            )
            yield
            await self.client.aclose()

    async def close(self) -> None:
        """Close the client and free the servable."""
        await self.client.aclose()
        await self.reconciler.close()

    async def serve(self, number: int, model: bytes, signature: str | None = None) -> None:
        """Promote a version with this graph and wait until it serves."""
        self.source.graphs[str(number)] = (model, signature)
        await self.say(version(number))

    async def say(self, aspired: Any) -> None:
        """What the registry says from now on, heard."""
        self.source.says = aspired
        await self.reconciler.reconcile()
        await self.reconciler.settled()

    def samples(self) -> dict[tuple[str, ...], float]:
        """Every sample at /metrics: (name, label value, …) -> value, labels sorted by name."""
        text = self.exposition.render().decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
