"""Reconcile the serving version with the aspired one. Only this module swaps.

It does not depend on HTTP, MLflow or Prometheus: a Source names the aspired version and fetches its
files, and observers receive events.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Literal

from predictor.errors import APPROVAL, LoadError, NothingServing, RegistryError, RegistryInternal
from predictor.events import (
    LoadStarted,
    LoadSuperseded,
    Observe,
    RegistryAnswered,
    RegistryFailed,
    Swapped,
    SwapReason,
)
from predictor.model.artifact import Fetched
from predictor.model.builder import Builder
from predictor.model.servable import Servable
from predictor.model_version import ModelVersion
from predictor.reconcile.decision import (
    Failure,
    Load,
    NoChange,
    RegistryStatus,
    Stop,
    decide,
    why_nothing,
    why_swapped,
)
from predictor.reconcile.retries import Retries
from predictor.reconcile.source import NO_APPROVALS, Approvals, LastKnownGood, Source
from predictor.traces.tracer import TRACES_OFF, Tracer


class Reconciler:
    """Holds the serving servable, and replaces it when the registry names another version."""

    def __init__(
        self,
        source: Source,
        builder: Builder,
        observe: Observe,
        *,
        when_none: Literal["stop", "keep"] = "stop",
        retry_seconds: float = 2,
        approvals: Approvals = NO_APPROVALS,
        tracer: Tracer = TRACES_OFF,
    ) -> None:
        """`builder` fetches from the same source, and checks the same `approvals` of the files.

        The first retry of a failed load comes after `retry_seconds`.
        """
        self._source = source
        self._approvals = approvals
        self._unapproved = False  # why nothing serves: a version that served has too few approvals
        self._observe = observe
        self._tracer = tracer
        self._when_none: Literal["stop", "keep"] = when_none
        self._serving: Servable | None = None
        self._loading: tuple[ModelVersion, asyncio.Task[None]] | None = None
        self._restoring = False
        self._background_tasks: set[asyncio.Task[None]] = set()
        self._polling = asyncio.Lock()
        self._builder = builder
        self._last_known_good = LastKnownGood(
            source, observe, lambda: self._serving_version, self._none_may_serve
        )
        self._retries = Retries(source, observe, retry_seconds)
        self.registry_status = RegistryStatus()

    @property
    def serving(self) -> Servable | None:
        """The servable that answers requests, or None. Read it once per batch and keep the reference."""
        return self._serving

    @property
    def loading(self) -> ModelVersion | None:
        """The version that is being loaded, or None."""
        return self._loading[0] if self._loading else None

    @property
    def failure(self) -> Failure | None:
        """The last failed load of the version that should serve, or None."""
        return self._retries.failure

    @property
    def cache_fault(self) -> str | None:
        """Why the last known good version could not be saved, or None."""
        return self._last_known_good.fault

    def as_registered(self, version: ModelVersion) -> ModelVersion:
        """The version as the registry last described it: its tags may have changed after it was loaded."""
        aspired = self.registry_status.aspired
        return aspired if aspired is not None and aspired == version else version

    def require_serving(self) -> Servable:
        """The serving servable. Raises NothingServing, with the reason."""
        if self._serving is None:
            raise NothingServing(
                why_nothing(
                    self.registry_status, self.failure, self.loading, unapproved=self._unapproved
                )
            )
        return self._serving

    async def reconcile(self) -> None:
        """Poll the registry once, and act on its response.

        Does not raise for errors of the registry or of a model version. Does not wait for the load that it
        starts.
        """
        async with self._polling:
            with self._tracer.span("reconcile") as span:
                await self._reconcile()
                status, serving = self.registry_status, self._serving_version
                span.set(
                    registry=status.outcome,
                    desired=status.aspired.version if status.aspired else None,
                    serving=serving.version if serving else None,
                )
                if status.fault:
                    span.fail(status.fault)

    async def _reconcile(self) -> None:
        try:
            aspired = await self._source.aspired()
            await self._approvals.update(aspired)
            changed = self._registry_answered(aspired)
            self._stop_unless_approved()
            await self._act_on(aspired)
            if changed and self._serving is None and aspired is None:
                self._in_background(self._last_known_good.save())
        except RegistryError as error:
            self._registry_failed(error)
        except Exception as error:  # noqa: BLE001  a bug of the service must not stop the polls
            self._registry_failed(RegistryInternal(error), error)

    def timed_out(self, servable: Servable) -> None:
        """Record that a computation of a servable was stopped. The version keeps serving."""
        self._retries.timed_out(servable.model_version)

    async def settled(self) -> None:
        """Return when no load is running and the last result is saved."""
        while pending := {*self._background_tasks, *([self._loading[1]] if self._loading else [])}:
            await asyncio.wait(pending)

    async def close(self) -> None:
        """Cancel running loads and close the source. The serving version stays."""
        self._supersede()
        for task in self._background_tasks:
            task.cancel()
        self._builder.close()
        await self._source.close()

    @property
    def _serving_version(self) -> ModelVersion | None:
        return self._serving.model_version if self._serving else None

    async def _act_on(self, aspired: ModelVersion | None) -> None:
        if self._loading is not None:
            if self._loading[0] == aspired:
                return
            # A restore ends only if no version may serve, or for a load that may succeed.
            if not self._restoring or self._none_may_serve():
                self._supersede()
        fingerprint = await self._retries.fingerprint(aspired)
        restoring = self._loading is not None and self._restoring
        # Time stands still for retries of a failed version until the restore ends.
        now = 0 if restoring else asyncio.get_running_loop().time()
        serving = self._serving_version
        match decide(aspired, serving, self.failure, now, self._when_none, fingerprint=fingerprint):
            case Load(version):
                self._load_if_approved(version)
            case Stop():
                self._swap(None, "withdrawn")
                self._in_background(self._last_known_good.save())
            case NoChange():
                if aspired is None and self._when_none == "keep":
                    self._in_background(self._restore())

    def _load_if_approved(self, version: ModelVersion) -> None:
        """Begin to load a version; or record that it waits for approvals, and fetch nothing."""
        reason = self._approvals.refusal(version)
        if reason is None:
            self._supersede()
            self._begin_load(version)
        else:
            self._retries.waits(version, LoadError(APPROVAL, reason), self._serving_version)
            self._in_background(self._restore())

    def _stop_unless_approved(self) -> None:
        """Stop serving if approvals were withdrawn, have expired, or their approvers' keys were removed."""
        serving = self._serving
        if serving and self._approvals.refusal(serving.model_version, serving.artifact):
            self._swap(None, "unapproved")
            self._in_background(self._last_known_good.save())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Start disk work in the background: a disk that hangs must not stop the polls."""
        task = asyncio.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    def _begin_load(self, version: ModelVersion, restored: Fetched | None = None) -> None:
        task = asyncio.create_task(self._load(version, restored), name=f"load {version}")
        self._loading, self._restoring = (version, task), restored is not None

    async def _restore(self) -> None:
        """Serve the last known good version, as if the process had not been restarted."""
        found = await self._last_known_good.load(self._needs_restore)
        if found is not None and not self._retries.last_failed(found[0]):
            self._begin_load(*found)

    def _needs_restore(self) -> bool:
        return self._serving is None and self._loading is None and not self._none_may_serve()

    async def _load(self, version: ModelVersion, restored: Fetched | None) -> None:
        if not self._retries.in_silence(version):
            self._observe(LoadStarted(version))
        started = time.perf_counter()
        try:
            servable, fetched = await self._builder.build(version, restored)
            # Approvals may have been withdrawn while it was built.
            if reason := self._approvals.refusal(version, servable.artifact):
                raise LoadError(APPROVAL, reason)  # noqa: TRY301
        except LoadError as error:
            failure = self._retries.failed(version, error, self._serving_version)
            self._in_background(self._retries.note_fingerprint(failure))
        else:
            self._retries.loaded(version)
            reason = why_swapped(self._serving_version, version, restored=restored is not None)
            self._swap(servable, reason, time.perf_counter() - started)
            if restored is None:
                self._last_known_good.set_pending(version, fetched)
        finally:
            if self._loading is not None and self._loading[1] is asyncio.current_task():
                self._loading = None
        await self._last_known_good.save()
        if self.failure is not None:
            await self._restore()

    def _none_may_serve(self) -> bool:
        return self._unapproved or (self.registry_status.names_none and self._when_none == "stop")

    def _swap(self, servable: Servable | None, reason: SwapReason, seconds: float = 0.0) -> None:
        previous, self._serving = self._serving_version, servable
        self._unapproved = reason == "unapproved"
        self._approvals.serves(servable)
        self._last_known_good.drop_pending()
        digest = servable.artifact.onnx_sha256 if servable else ""
        with self._tracer.span("swap") as span:
            span.set(reason=reason, previous=previous.version if previous else None)
            if servable:
                span.set_version(servable.model_version)
            self._observe(Swapped(previous, self._serving_version, reason, seconds, digest))

    def _supersede(self) -> None:
        if self._loading is not None:
            (version, task), self._loading = self._loading, None
            task.cancel()
            if self._restoring:
                self._last_known_good.allow_another_load()
            self._observe(LoadSuperseded(version))

    def _registry_answered(self, aspired: ModelVersion | None) -> bool:
        changed = self.registry_status.differs_from(aspired)
        self.registry_status = self.registry_status.answered(
            aspired, self._source.no_version_reason
        )
        self._observe(RegistryAnswered(aspired, changed, self.registry_status.no_version_reason))
        return changed

    def _registry_failed(self, error: RegistryError, cause: Exception | None = None) -> None:
        first = self.registry_status.outcome != error.outcome
        self.registry_status = self.registry_status.failed(error)
        serving = self._serving_version
        self._observe(RegistryFailed(error.outcome, str(error), serving, first, cause))
        self._stop_unless_approved()
        # Only before the registry's first response; afterwards its last response counts.
        if self.registry_status.answered_at is None:
            self._in_background(self._restore())
