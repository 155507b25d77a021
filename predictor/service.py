"""The composition root: from settings to the parts of one process, its application and its server."""

import asyncio
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI

from predictor import __version__, logs, origins
from predictor.access import Access
from predictor.events import Event, Observe, Swapped
from predictor.follower import follow
from predictor.http import problems, server
from predictor.http.fast_lane import FastLane
from predictor.http.inference_routes import InferenceRoutes, add_route
from predictor.http.middleware import (
    App,
    CorsHeaders,
    CorsMiddleware,
    HeadMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
    guard,
)
from predictor.inference.batcher import Batcher, Watch
from predictor.metrics.counts import Counts
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics, measure_lag
from predictor.model.loader import load
from predictor.model.servable import Servable
from predictor.model_version import ModelUri
from predictor.openapi.document import Describe
from predictor.operations import events, health, model, openapi, overview, page, webhook
from predictor.operations.journal import Journal
from predictor.protocols import explain, mlflow_scoring, open_inference, predict
from predictor.reconcile.poller import Poller, PollSchedule
from predictor.reconcile.reconciler import Reconciler
from predictor.reconcile.source import Source
from predictor.registry.webhooks import Deliveries, WebhookSecrets
from predictor.settings import Settings
from predictor.traces.tracer import Tracer, tracer_for

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of `mallopt`, in malloc.h
_KEPT_BYTES = 1 << 25  # the largest threshold that glibc accepts
_ERROR_FORMATS = {**open_inference.ERROR_FORMATS, **mlflow_scoring.ERROR_FORMATS}
_DESCRIBERS = (
    predict.describe,
    explain.describe,
    open_inference.describe,
    mlflow_scoring.describe,
    openapi.describe,
)


@dataclass(frozen=True)
class WorkerContext:
    """Shared state of a worker process: the counts of all workers, and its schedule of polls.

    `observers` receive every event. `lifespan` is entered before the process accepts connections and
    left after the last response. The default is the only process of a service.
    """

    counts: Counts = field(default_factory=Counts.alone)
    siblings: Sequence[Counts] = ()
    supervisor: Counts | None = None
    schedule: PollSchedule = field(default_factory=PollSchedule)
    observers: Sequence[Observe] = ()
    lifespan: Callable[["Service"], AbstractAsyncContextManager[None]] = lambda _: nullcontext()


@dataclass(frozen=True)
class Service:
    """The parts of one process, before anything is started."""

    settings: Settings
    worker: WorkerContext
    metrics: Metrics
    exposition: Exposition
    journal: Journal
    source: Source
    reconciler: Reconciler
    poller: Poller
    batcher: Batcher
    inference: InferenceRoutes
    access: Access
    tracer: Tracer
    deliveries: Deliveries | None  # None without a webhook secret
    lane: FastLane | None  # None where ASGI answers every request
    grpc: Any  # None without a gRPC port
    approvals: Any  # None without a file of approvers
    fleet: Any  # None without a NATS server
    recording: Any  # None without a place for records
    shadow: Any  # None without a URI for it


def compose(
    settings: Settings,
    worker: WorkerContext | None = None,
    *,
    source: Source | None = None,
    load: Callable[..., Servable] = load,
    make_journal: Callable[..., Journal] = Journal,
) -> Service:
    """Make every part from the settings. Nothing is started. Raises SettingsError.

    Tests replace the registry by a `source`, and the functions that load a version and make the journal.
    """
    worker = worker or WorkerContext()
    model_name = ModelUri.parse(settings.model_uri).name
    tracer = tracer_for(settings.traces_exporter)
    metrics = Metrics(worker.counts)
    worker_number = worker.schedule.worker if worker.schedule.workers > 1 else None
    journal = make_journal(settings.max_event_streams, count=metrics.streams, worker=worker_number)
    observers = [logs.write, metrics.observe, journal.observe, *worker.observers]

    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    follower = follow(settings, observe, source=source, load=load, tracer=tracer)
    reconciler, approvals = follower.reconciler, follower.approvals
    if approvals is not None:
        observers.append(approvals.observe)
    watchers: list[Watch] = []
    drift = _Drift(settings.drift_features, worker, reconciler, watchers)
    observers.append(drift.observe)
    recording = _recording(settings, metrics, starts_writer=worker.schedule.worker == 0)
    shadow = _shadow(settings, worker, observe, reconciler, recording)
    if shadow is not None:
        observers.append(shadow.observe)
        watchers.append(shadow.watch)

    def expect_change() -> None:
        follower.source.expect_change()
        if shadow is not None:
            shadow.watch.poll_now()

    poller = Poller(reconciler.reconcile, settings.poll_seconds, worker.schedule, expect_change)
    batcher = Batcher(
        reconciler.require_serving,
        metrics,
        max_rows=settings.max_queued_rows,
        max_batches=settings.max_queued_batches,
        timed_out=reconciler.timed_out,
        tracer=tracer,
        keep=recording and recording.keep,
        watchers=watchers,
    )
    fleet = _fleet(settings, worker_number, poller.poll_now, metrics.fleet)
    if fleet is not None:
        observers.append(fleet.observe)
    access = Access.of(settings, observe)
    inference = _inference_routes(settings)
    lane = None
    if settings.fast_lane:
        cors = CorsHeaders(origins.parse(settings.cors_origins))
        lane = FastLane(inference, batcher, metrics, access, settings=settings, cors=cors)
        observers.append(lane.observe)
    grpc = _grpc(
        settings,
        batcher=batcher,
        reconciler=reconciler,
        access=access,
        metrics=metrics,
        below=tracer.below,
    )
    if grpc is not None:
        observers.append(grpc.observe)
    return Service(
        settings=settings,
        worker=worker,
        metrics=metrics,
        exposition=Exposition(
            model_name, worker.counts, worker.siblings, worker.supervisor, drift.render
        ),
        journal=journal,
        source=follower.source,
        reconciler=reconciler,
        poller=poller,
        batcher=batcher,
        inference=inference,
        access=access,
        tracer=tracer,
        deliveries=_deliveries(settings, model_name),
        lane=lane,
        grpc=grpc,
        approvals=approvals,
        fleet=fleet,
        recording=recording,
        shadow=shadow,
    )


def _inference_routes(settings: Settings) -> InferenceRoutes:
    """The routes of all inference protocols, which the fast lane and FastAPI share."""
    return InferenceRoutes(
        [
            *predict.inference_routes(settings),
            *open_inference.inference_routes(settings),
            *mlflow_scoring.inference_routes(settings),
        ]
    )


def _deliveries(settings: Settings, model_name: str) -> Deliveries | None:
    secret = settings.webhook_secret_file
    return Deliveries(WebhookSecrets(secret), model_name) if secret else None


def _fleet(
    settings: Settings,
    worker: int | None,
    poll_now: Callable[[], None],
    connected: Callable[[bool], None],
) -> Any:
    if not settings.nats_url:
        return None
    # nats-py is an extra.
    from predictor.fleet.connection import Fleet
    from predictor.fleet.status import ReplicaStatus, replica_name

    status = ReplicaStatus(replica_name(settings.port, worker), settings.model_uri)
    return Fleet(settings.nats_url, settings.nats_credentials_file, status, poll_now, connected)


def _recording(settings: Settings, metrics: Metrics, *, starts_writer: bool) -> Any:
    if not settings.record_uri:
        return None
    from predictor.recording.recording import Recording

    return Recording(settings, metrics.recorded, starts_writer=starts_writer)


class _Drift:
    """Counts rows for the comparison with training data, from the first version that has its bins."""

    def __init__(
        self,
        max_features: int,
        worker: WorkerContext,
        reconciler: Reconciler,
        watchers: list[Watch],
    ) -> None:
        self._max_features = max_features
        self._worker = worker
        self._reconciler = reconciler
        self._watchers = watchers
        self._counter: Any = None

    def observe(self, event: Event) -> None:
        """Follow swaps."""
        if not isinstance(event, Swapped) or not self._max_features:
            return
        servable = self._reconciler.serving
        if self._counter is None and servable and servable.training_bins.features:
            from predictor.drift.row_counter import RowCounter

            counts, siblings = self._worker.counts, self._worker.siblings
            self._counter = RowCounter(counts, siblings, self._max_features)
            self._watchers.append(self._counter)
        if self._counter is not None:
            self._counter.serve(servable)

    def render(self) -> bytes:
        """The counts, for the exposition."""
        return self._counter.render() if self._counter is not None else b""


def _shadow(
    settings: Settings,
    worker: WorkerContext,
    observe: Observe,
    reconciler: Reconciler,
    recording: Any,
) -> Any:
    if not settings.shadow_uri:
        return None
    from predictor.shadow.shadow import Parts, Shadow
    from predictor.shadow.tally import Tally

    keep = recording.keep.add_shadow if recording else None
    parts = Parts(observe, lambda: reconciler.serving, worker.schedule.since, keep)
    tally = Tally(worker.counts, worker.siblings)
    return Shadow(settings, tally, parts, starts_process=worker.schedule.worker == 0)


def _grpc(settings: Settings, **parts: Any) -> Any:
    if settings.grpc_port is None:
        return None
    # grpcio is an extra, and slow to import.
    from predictor.protocols.open_inference.grpc.server import GrpcServer

    return GrpcServer(settings, **parts)


def create_api(service: Service) -> FastAPI:
    """The FastAPI application: routes, errors and the OpenAPI document. Its start starts the polls."""
    settings, batcher, reconciler = service.settings, service.batcher, service.reconciler
    access = service.access
    api = FastAPI(
        title="mlflow-hotswap",
        version=__version__,
        lifespan=lambda _: _background_work(service),
        # `operations/` has its own routes for both.
        openapi_url=None,
        docs_url=None,
        redirect_slashes=False,
        dependencies=[Depends(guard(access))] if access.has_keys else [],
    )
    for route in service.inference:
        add_route(api, route, batcher, settings.max_body_bytes)
    api.include_router(predict.what_if_routes(batcher, settings))
    api.include_router(explain.routes(batcher, settings))
    api.include_router(open_inference.routes(reconciler, settings))
    api.include_router(mlflow_scoring.routes(reconciler))
    describe = partial(model.describe, reconciler, settings, service.approvals, service.shadow)
    api.include_router(model.routes(describe))
    api.include_router(
        health.routes(reconciler, service.exposition, ModelUri.parse(settings.model_uri))
    )
    api.include_router(events.routes(service.journal, access, describe, settings))
    api.include_router(overview.routes(_overview_parts(service)))
    api.include_router(page.routes(https=settings.tls_certificate is not None))
    if service.deliveries:
        changed = service.fleet.poll_everywhere if service.fleet else service.poller.poll_now
        router = webhook.routes(service.deliveries, service.metrics, changed)
        api.include_router(router)
    outcomes = _outcomes(api, service)
    documents = openapi.Documents(api, reconciler, access, (*_DESCRIBERS, *outcomes))
    api.include_router(openapi.routes(documents, access))
    problems.add_handlers(api, _ERROR_FORMATS)
    if allowed := origins.parse(settings.cors_origins):
        api.add_middleware(CorsMiddleware, origins=allowed)
    api.add_middleware(MetricsMiddleware, answered=service.metrics.answered)
    return api


def _overview_parts(service: Service) -> overview.OverviewParts:
    worker = service.worker
    blocks = list(worker.siblings)
    blocks.insert(worker.schedule.worker, worker.counts)
    return overview.OverviewParts(
        reconciler=service.reconciler,
        uri=ModelUri.parse(service.settings.model_uri),
        list_versions=service.source.listing,
        fleet=service.fleet,
        worker=worker.schedule.worker,
        blocks=blocks,
    )


def _outcomes(api: FastAPI, service: Service) -> Sequence[Describe]:
    """Add the route for outcomes, where predictions are recorded; return its part of the OpenAPI document."""
    if service.recording is None:
        return ()
    from predictor.operations import outcomes

    keep = service.recording.keep.keep_outcomes
    api.include_router(outcomes.routes(keep, service.metrics, service.settings.max_body_bytes))
    return (outcomes.describe,)


def wrap(api: FastAPI, service: Service) -> App:
    """The ASGI application: `api` inside the middleware for every response, error responses too."""
    return HeadMiddleware(RequestIdMiddleware(service.tracer.wrap(api)))


@asynccontextmanager
async def _background_work(service: Service) -> AsyncIterator[None]:
    """Poll the registry, measure the event loop, read files of keys again and answer gRPC meanwhile."""
    service.poller.start()
    measuring = asyncio.create_task(measure_lag(service.metrics.lagged))
    grpc, approvals = service.grpc or nullcontext(), nullcontext()
    fleet = service.fleet.connected() if service.fleet else nullcontext()
    if service.approvals is not None:
        approvals = service.approvals.reloading(service.poller.poll_now)
    # Entered first: the last request has ended when it is left.
    recording = service.recording.running() if service.recording else nullcontext()
    shadow = service.shadow.running() if service.shadow else nullcontext()
    own = service.worker.lifespan(service)
    async with recording, shadow, service.access.reloading(), approvals, fleet, own, grpc:
        yield
    measuring.cancel()
    service.poller.stop()
    await service.reconciler.close()


def create_server(app: App, service: Service) -> server.Server:
    """uvicorn, set up to serve `app`. A stop also ends event streams and gRPC calls, which have no end of their own."""

    def begin_stop() -> None:
        service.journal.close()
        if service.grpc is not None:
            service.grpc.begin_stop()

    return server.server(app, service.settings, service.lane, begin_stop, service.metrics.refused)


def serve(service: Service, listener: socket.socket) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code, which is not 0 where the start failed."""
    uvicorn = create_server(wrap(create_api(service), service), service)

    def end(*_: object) -> None:
        # uvicorn finishes the requests in flight, then raises the signal again; the default handler
        # would turn a clean end into exit code 143. Before uvicorn starts, no request is in flight.
        if not uvicorn.should_exit:
            sys.exit(0)

    for ended_by in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ended_by, end)
    _favour_requests()
    uvicorn.run(sockets=[listener])
    service.tracer.close()
    return int(uvicorn.lifespan.should_exit)


def _favour_requests() -> None:
    """Shorten the pauses that loads and the garbage collector cause."""
    # By default a busy thread holds the interpreter for 5 ms; while a version is built, each tick of
    # the event loop would wait for that long.
    sys.setswitchinterval(0.0005)
    # The objects of the start are kept for good; a search for garbage among them takes 30 ms.
    gc.collect()
    gc.freeze()
    # A tick or a batch holds thousands of short-lived rows, and no garbage.
    gc.set_threshold(20_000, 50, 50)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc keep some freed memory for the next large body; `trim_memory_soon` returns it.

    By default, glibc returns such memory at once, and each megabyte of the next body costs several hundred
    page faults.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
