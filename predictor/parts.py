"""Service: the parts that the routes need, put together in one place."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from predictor.access import Access
from predictor.inference.batcher import Batcher
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics
from predictor.operations.journal import Journal
from predictor.reconcile.poller import Poller
from predictor.reconcile.reconciler import Reconciler
from predictor.registry.webhooks import Deliveries
from predictor.settings import Settings
from predictor.traces.spans import Spans


@dataclass(frozen=True)
class Service:
    """What `composition` composes and `app` serves."""

    settings: Settings
    reconciler: Reconciler
    batcher: Batcher
    metrics: Metrics
    exposition: Exposition
    poller: Poller
    access: Access
    journal: Journal
    deliveries: Deliveries | None = None  # none without a secret
    spans: Spans = field(default_factory=Spans)
    # Called when the end begins, for what does not end by itself.
    leaving: list[Callable[[], None]] = field(default_factory=list)
    # Entered before the first request is taken, left after the last one.
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
