"""Spans: what stands between the service's parts while traces are sent; while they are not, nothing."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from predictor.access import Headers
from predictor.events import Observe
from predictor.inference.batcher import Batcher
from predictor.model.loader import load
from predictor.model.servable import Servable
from predictor.reconcile.reconciler import Reconciler
from predictor.reconcile.source import Source
from predictor.settings import Settings


def _itself(part: Any) -> Any:
    return part


def _reconcile(reconciler: Reconciler) -> Callable[[], Awaitable[None]]:
    return reconciler.reconcile


def _below_nothing(_: Headers) -> AbstractContextManager[None]:
    return nullcontext()


def _nothing() -> None:
    """There is nothing to be sent."""


@dataclass(frozen=True)
class Spans:
    """Each field gives a part, or takes one and gives what stands in its place. The defaults are the parts."""

    source: Callable[[Source], Source] = _itself
    load: Callable[..., Servable] = load
    batcher: Callable[..., Batcher] = Batcher
    reconcile: Callable[[Reconciler], Callable[[], Awaitable[None]]] = _reconcile
    app: Callable[[Any], Any] = _itself
    #: What is done within for a request, by its header fields.
    below: Callable[[Headers], AbstractContextManager[None]] = _below_nothing
    observers: Sequence[Observe] = ()
    #: Called once, after the last answer.
    end: Callable[[], None] = _nothing

    @classmethod
    def of(cls, settings: Settings) -> "Spans":
        """Those that the settings ask for. Raises SettingsError."""
        if settings.traces_exporter == "none":
            return cls()
        # Whoever asks for no traces needs no OpenTelemetry, and pays for none.
        from predictor.traces.traced import spans

        return spans(settings.traces_exporter)
