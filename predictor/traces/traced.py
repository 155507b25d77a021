"""The service's parts with spans around them: each does what the part does, and says when.

They stand between the parts only while traces are sent, so that without them nothing is asked, not
even whether they are. No span carries a feature's value.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from predictor.events import Event, Swapped
from predictor.http.middleware import App, Receive, Scope, Send
from predictor.inference.batcher import Batcher, BatchObserver
from predictor.inference.compute import Question, Result, Run, Work
from predictor.model.artifact import Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt, Servable
from predictor.model.signature import Row
from predictor.model_version import ModelVersion
from predictor.reconcile.reconciler import Reconciler
from predictor.reconcile.source import Source
from predictor.traces.spans import Spans
from predictor.traces.tracing import Tracing

T = TypeVar("T")


class _Computed(msgspec.Struct):
    """What an answer says of itself."""

    model_name: str
    model_version: str
    predictions: list[msgspec.Raw] = msgspec.field(default_factory=lambda: [msgspec.Raw(b"{}")])


class TracedSource:
    """A Source whose fetches are spans. The rest is the source's own."""

    def __init__(self, tracing: Tracing, source: Source) -> None:
        self._source = source
        self._tracing = tracing
        self.aspired = source.aspired
        self.fingerprint = source.fingerprint
        self.last_verified = source.last_verified
        self.remember = source.remember
        self.forget = source.forget
        self.close = source.close

    @property
    def none_reason(self) -> str:
        """As Source.none_reason."""
        return self._source.none_reason

    async def fetch(self, version: ModelVersion) -> Fetched:
        """As Source.fetch."""
        with self._tracing.span("fetch", _named(version)) as span:
            fetched = await self._source.fetch(version)
            span.say({"bytes": sum(map(len, fetched.contents.values()))})
            return fetched


class TracedBatcher(Batcher):
    """A Batcher whose answers are spans: the version is the one that each answer names."""

    def __init__(
        self,
        tracing: Tracing,
        serving: Callable[[], Servable],
        observer: BatchObserver,
        **bounds: Any,
    ) -> None:
        """`bounds` are the other arguments of Batcher."""
        super().__init__(serving, observer, **bounds)
        self._tracing = tracing

    async def predict(self, body: bytes) -> bytes:
        """As Batcher.predict."""
        return await self._traced(super().predict, body)

    async def predict_batch(self, body: bytes, *, warn: bool = False) -> bytes:
        """As Batcher.predict_batch."""
        return await self._traced(partial(super().predict_batch, warn=warn), body)

    async def ask_about(self, question: Question) -> Result:
        """As Batcher.ask_about."""
        with self._tracing.span("predict", serves=True) as span:
            by = _TracedQuestion(question)
            try:
                return await super().ask_about(by)
            finally:
                span.say({**by.version, "rows": 1})

    async def compute(self, work: Work[T], *, yields: bool = False) -> T:
        """As Batcher.compute."""
        version: dict[str, str] = {}

        def seen(servable: Servable, run: Run) -> T:
            version.update(_named(servable.model_version))
            return work(servable, run)

        with self._tracing.span("predict", serves=True) as span:
            try:
                return await super().compute(seen, yields=yields)
            finally:
                span.say(version)

    async def _traced(self, answer: Callable[[bytes], Awaitable[bytes]], body: bytes) -> bytes:
        with self._tracing.span("predict", serves=True) as span:
            answered = await answer(body)
            computed = msgspec.json.decode(answered, type=_Computed)
            version = {"model_name": computed.model_name, "model_version": computed.model_version}
            span.say({**version, "rows": len(computed.predictions)})
            return answered


class _TracedQuestion:
    """A question that remembers which version it was put to."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.version: Mapping[str, str] = {}
        self.told = question.told

    def row(self, servable: Servable) -> Row:
        self.version = _named(servable.model_version)
        return self._question.row(servable)


class BelowParent:
    """Wraps an ASGI app: what a request does belongs to the span that its `traceparent` names."""

    def __init__(self, tracing: Tracing, app: App) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.below(scope["headers"]):
            await self._app(scope, receive, send)


def spans(exporter: str) -> Spans:
    """All of them, sent to `otlp` or `console`. Raises SettingsError."""
    return around(Tracing.to(exporter))


def around(tracing: Tracing) -> Spans:
    """All of them, made by `tracing`."""
    return Spans(
        source=partial(TracedSource, tracing),
        load=_traced_load(tracing),
        batcher=partial(TracedBatcher, tracing),
        reconcile=partial(_traced_reconcile, tracing),
        app=partial(BelowParent, tracing),
        below=tracing.below,
        observers=[partial(_swapped, tracing)],
        end=tracing.end,
    )


def _traced_reconcile(tracing: Tracing, reconciler: Reconciler) -> Callable[[], Awaitable[None]]:
    """What it starts is below its span, and comes after its end: fetch, load and swap."""

    async def reconcile() -> None:
        with tracing.span("reconcile") as span:
            await reconciler.reconcile()
            known, serving = reconciler.registry_status, reconciler.serving
            span.say(
                {
                    "registry": known.outcome,
                    "desired": known.aspired.version if known.aspired else None,
                    "serving": serving.model_version.version if serving else None,
                }
            )
            if known.fault:
                span.fail(known.fault)

    return reconcile


def _traced_load(tracing: Tracing) -> Callable[..., Servable]:
    inner = partial(load, during=tracing.span)

    def traced(
        version: ModelVersion, fetched: Fetched, interrupt: Interrupt, **options: Any
    ) -> Servable:
        with tracing.span("load", _named(version)):
            return inner(version, fetched, interrupt, **options)

    return traced


def _swapped(tracing: Tracing, event: Event) -> None:
    """A swap is a span without length: it is one assignment."""
    if isinstance(event, Swapped):
        previous = event.previous.version if event.previous else None
        named = _named(event.serving) if event.serving else {}
        with tracing.span("swap", {"reason": event.reason, "previous": previous, **named}):
            pass


def _named(version: ModelVersion) -> Mapping[str, str]:
    return {"model_name": version.name, "model_version": version.version}
