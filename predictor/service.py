"""The composition root: from settings to the parts of one process that serves, and serving with them."""

import gc
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from predictor import logs
from predictor.access import Access
from predictor.app import create_app
from predictor.events import Event, Observe
from predictor.http import server
from predictor.metrics.counts import Counts
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics
from predictor.model.runs import WatchedRuns
from predictor.model_version import ModelUri
from predictor.operations.journal import Journal
from predictor.parts import Service
from predictor.reconcile.poller import Poller, PollSchedule
from predictor.reconcile.reconciler import Reconciler
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.client import artifact_server, tracking_server
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from predictor.registry.webhooks import Deliveries, WebhookSecrets
from predictor.settings import Settings
from predictor.traces.spans import Spans


@dataclass(frozen=True)
class Company:
    """Those that serve with this process: whose counts are shown, who hears events, whose turn it is."""

    own: Counts = field(default_factory=Counts.alone)
    siblings: Sequence[Counts] = ()
    supervisor: Counts | None = None
    observers: Sequence[Observe] = ()
    schedule: PollSchedule = field(default_factory=PollSchedule)


def compose(settings: Settings, company: Company | None = None) -> Service:
    """The service's parts, made from its settings. Nothing is started. Raises SettingsError."""
    company = company or Company()
    uri = ModelUri.parse(settings.model_uri)
    metrics = Metrics(company.own)
    journal = Journal(
        settings.max_event_streams,
        count=metrics.streams,
        worker=company.schedule.worker if company.schedule.workers > 1 else None,
    )
    server = tracking_server(settings)
    workspace = f"\n{settings.workspace}" if settings.workspace else ""
    cache = Cache(settings.cache_dir, scope=f"{settings.tracking_uri}\n{uri}{workspace}")
    others = {each: artifact_server(str(each), settings) for each in settings.other_hosts}
    stores = ArtifactStores(server, others, settings.s3_options)
    source = RegistrySource(RegistryClient(server, uri), stores, cache, settings.max_model_bytes)
    spans = Spans.of(settings)
    observe = _tell(
        logs.write, metrics.observe, journal.observe, *spans.observers, *company.observers
    )
    reconciler = Reconciler(
        spans.source(source),
        partial(
            spans.load,
            runs=WatchedRuns(settings.inference_seconds),
            ignore_unknown=settings.extra_fields == "ignore",
        ),
        observe,
        when_none=settings.when_none,
        retry_seconds=settings.poll_seconds,
        load_seconds=settings.load_seconds,
    )
    return Service(
        settings=settings,
        reconciler=reconciler,
        batcher=spans.batcher(
            reconciler.require_serving,
            metrics,
            most_rows=settings.max_queued_rows,
            most_batches=settings.max_queued_batches,
            timed_out=reconciler.timed_out,
        ),
        metrics=metrics,
        exposition=Exposition(uri.name, company.own, company.siblings, company.supervisor),
        poller=Poller(spans.reconcile(reconciler), settings.poll_seconds, company.schedule),
        journal=journal,
        deliveries=Deliveries(WebhookSecrets(settings.webhook_secret_file), uri.name)
        if settings.webhook_secret_file
        else None,
        access=Access.of(settings, observe),
        spans=spans,
    )


def serve(service: Service, listener: socket.socket) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code, which is not 0 where it could not begin."""
    uvicorn = server.server(create_app(service), service)

    def end(*_: object) -> None:
        # uvicorn finishes what is in flight, then raises the signal again; the default handler
        # would turn a clean end into exit code 143. Before uvicorn begins, nothing is in flight.
        if not uvicorn.should_exit:
            sys.exit(0)

    for ended_by in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ended_by, end)
    _favour_requests()
    uvicorn.run(sockets=[listener])
    service.spans.end()
    return int(uvicorn.lifespan.should_exit)


def _favour_requests() -> None:
    """Shorten what loading a version, and Python itself, make a request wait for."""
    # A thread that computes gives way after 5 ms unless told otherwise; while a version is built,
    # every tick of the event loop would wait as long.
    sys.setswitchinterval(0.0005)
    # What start-up made is kept for good; looking for garbage in it stops everything for 30 ms.
    gc.collect()
    gc.freeze()
    # A tick or a batch holds thousands of short-lived rows, none of them garbage to be looked for.
    gc.set_threshold(20_000, 50, 50)


def _tell(*observers: Observe) -> Observe:
    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    return observe
