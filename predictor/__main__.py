"""The composition root: settings, then parts, then uvicorn. Run as `python -m predictor`."""

import gc
import signal
import sys

from predictor import logs, server
from predictor.app import create_app
from predictor.batcher import Batcher
from predictor.cache import Cache
from predictor.counts import Counts
from predictor.errors import SettingsError
from predictor.events import Event, Observe
from predictor.exposition import Exposition
from predictor.loader import load
from predictor.metrics import Metrics
from predictor.model_uri import ModelUri
from predictor.reconciler import Reconciler
from predictor.registry import Registry
from predictor.registry_client import http_client
from predictor.registry_source import RegistrySource
from predictor.service import Service
from predictor.settings import Settings
from predictor.watcher import Watcher


def compose(settings: Settings) -> Service:
    """The service's parts, made from its settings. Nothing is started."""
    uri = ModelUri.parse(settings.model_uri)
    counts = Counts.alone()
    metrics = Metrics(counts)
    client = http_client(settings)
    cache = Cache(settings.cache_dir, scope=f"{settings.tracking_uri}\n{uri}")
    source = RegistrySource(Registry(client, uri), client, cache, settings.max_model_bytes)
    reconciler = Reconciler(
        source,
        load,
        _tell(logs.write, metrics.observe),
        when_none=settings.when_none,
        retry_seconds=settings.poll_seconds,
        load_seconds=settings.load_seconds,
    )
    return Service(
        settings=settings,
        reconciler=reconciler,
        batcher=Batcher(
            reconciler.require_serving,
            metrics,
            most_rows=settings.max_queued_rows,
            most_batches=settings.max_queued_batches,
        ),
        metrics=metrics,
        exposition=Exposition(uri.name, counts),
        watcher=Watcher(reconciler.reconcile, settings.poll_seconds),
    )


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        settings = Settings.read()
        server.check_tls(settings)
        service = compose(settings)
    except SettingsError as error:
        sys.stderr.write(f"mlflow-hotswap: {error}\n")
        return 2
    logs.set_up(settings.log_level)
    try:
        listener = server.listen(settings.host, settings.port)
    except OSError as error:
        logs.log.error("cannot_listen", host=settings.host, port=settings.port, reason=str(error))
        return 1
    # uvicorn finishes what is in flight, then raises the signal again; the default handler would
    # turn a clean end into exit code 143.
    for ended_by in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ended_by, lambda *_: None)
    app = create_app(service)
    _favour_requests()
    server.server(app, settings, service.metrics.refused).run(sockets=[listener])
    return 0


def _favour_requests() -> None:
    """Shorten what loading a version, and Python itself, make a request wait for."""
    # A thread that computes gives way after 5 ms unless told otherwise; while a version is built,
    # every tick of the event loop would wait as long.
    sys.setswitchinterval(0.0005)
    # What start-up made is kept for good; looking for garbage in it stops everything for 30 ms.
    gc.collect()
    gc.freeze()


def _tell(*observers: Observe) -> Observe:
    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    return observe


if __name__ == "__main__":
    sys.exit(main())
