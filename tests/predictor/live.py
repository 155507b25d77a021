"""A whole service around a fake source: every part real but the registry."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from predictor.access import Access
from predictor.app import create_app
from predictor.events import Event
from predictor.inference.batcher import Batcher
from predictor.metrics.counts import Counts
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics
from predictor.model.loader import load
from predictor.operations.journal import Journal
from predictor.parts import Service
from predictor.reconcile.poller import Poller, PollSchedule
from predictor.reconcile.reconciler import Reconciler
from predictor.registry.webhooks import Deliveries, WebhookSecrets
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

    def __init__(self, folder: Path, load: Any = load, **settings: Any) -> None:
        self.source = Served(folder)
        self.source.graphs = {}
        counts = Counts.alone()
        self.metrics = Metrics(counts)
        self.exposition = Exposition("m", counts)
        self.events: list[Event] = []
        self.journal = Journal(2, count=self.metrics.streams, kept=16, silence_seconds=0.2)
        self.reconciler = Reconciler(self.source, load, self._observe)
        settings = {"model_uri": "models:/m/Production", **settings}
        chosen = Settings(MLFLOW_TRACKING_URI="http://registry", **settings)
        self.service = Service(
            settings=chosen,
            reconciler=self.reconciler,
            batcher=Batcher(self.reconciler.require_serving, self.metrics),
            metrics=self.metrics,
            exposition=self.exposition,
            # Its turn came a second ago: none comes while a test runs.
            poller=Poller(
                self.reconciler.reconcile, 3600, PollSchedule(since=time.monotonic() - 1)
            ),
            journal=self.journal,
            deliveries=Deliveries(WebhookSecrets(chosen.webhook_secret_file), "m")
            if chosen.webhook_secret_file
            else None,
            access=Access.of(chosen, self._observe),
        )
        self.app = create_app(self.service)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service")

    @contextlib.asynccontextmanager
    async def behind(self, door: str) -> AsyncIterator[None]:
        """Let the client come in by a socket, unless the door is `asgi`."""
        async with contextlib.AsyncExitStack() as stack:
            if door != "asgi":
                address = await stack.enter_async_context(listening(self.app, self.service))
                self.client = httpx.AsyncClient(
                    transport=OneWrite(address), base_url=f"http://127.0.0.1:{address.port}"
                )
            yield
            await self.client.aclose()

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self.metrics.observe(event)
        self.journal.observe(event)

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
