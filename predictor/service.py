"""Service: the parts that the routes need, put together in one place."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from predictor.access import Access
from predictor.batcher import Batcher
from predictor.counting.exposition import Exposition
from predictor.journal import Journal
from predictor.metrics import Metrics
from predictor.reconciler import Reconciler
from predictor.settings import Settings
from predictor.traces.spans import Spans
from predictor.watcher import Watcher
from predictor.webhooks.webhook import Deliveries


@dataclass(frozen=True)
class Service:
    """What `composition` composes and `app` serves."""

    settings: Settings
    reconciler: Reconciler
    batcher: Batcher
    metrics: Metrics
    exposition: Exposition
    watcher: Watcher
    access: Access
    journal: Journal
    deliveries: Deliveries | None = None  # none without a secret
    spans: Spans = field(default_factory=Spans)
    # Called when the end begins, for what does not end by itself.
    leaving: list[Callable[[], None]] = field(default_factory=list)
    # Entered before the first request is taken, left after the last one.
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
