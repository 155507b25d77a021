"""Exposition: what `GET /metrics` answers, in Prometheus's text format."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from predictor.counting.counts import Counts
from predictor.workers import presence


class Exposition:
    """All metrics of the service, whichever worker is asked.

    prometheus_client is loaded when somebody first looks: a start need not wait for it.
    """

    def __init__(
        self,
        model_name: str,
        own: Counts,
        siblings: Sequence[Counts] = (),
        supervisor: Counts | None = None,
    ) -> None:
        self._model_name = model_name
        self._own = own
        self._siblings = siblings
        self._supervisor = supervisor

    def render(self) -> bytes:
        """All metrics, as they are now."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self._registry)

    @property
    def content_type(self) -> str:
        """The format's name and version, for the answer's header."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        return CONTENT_TYPE_LATEST

    @cached_property
    def _registry(self) -> Any:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector

        from predictor.counting.collector import ServiceCollector
        from predictor.counting.processes import ProcessesCollector

        registry = CollectorRegistry()
        registry.register(ProcessesCollector(self._pids))
        PlatformCollector(registry=registry)
        if self._supervisor is None:
            # Of several processes each has its own garbage, and nobody adds it up.
            GCCollector(registry=registry)
        registry.register(
            ServiceCollector(self._model_name, self._own, self._siblings, self._supervisor)
        )
        return registry

    def _pids(self) -> list[int]:
        others = [*self._siblings, *([self._supervisor] if self._supervisor else [])]
        return [os.getpid(), *map(presence.pid, others)]
