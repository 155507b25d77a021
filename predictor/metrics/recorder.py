"""Metrics: count requests, predictions and events as numbers in memory; `exposition` renders them."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from time import perf_counter

from predictor import events
from predictor.errors import LOAD_STAGES, REGISTRY_OUTCOMES
from predictor.metrics import families
from predictor.metrics.counts import Counts
from predictor.metrics.families import Family
from predictor.metrics.worker_state import WorkerState
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.registry.webhooks import REFUSALS

_FEW = 16  # rows; for more, it is faster to count by class first
_MAX_LABELS = 50  # classes with their own series; further ones are counted as "other"
_ENDPOINTS = ("/predict", "/predict/batch", "/predict/what-if", "/predict/explain")
_CODES = (200, 422, 500, 503)
_ENDPOINT = families.REQUEST_SECONDS.buckets
_ROWS = families.BATCH_ROWS.buckets
_INFERENCE = families.INFERENCE_SECONDS.buckets
_LAG = families.LAG.buckets


class _Places(dict[object, int]):
    """The slot of each class of one version, and one slot for all other predictions.

    Only classes of the version's list become label values, because a graph may return a client's text.
    """

    def __init__(self, counts: Counts, servable: Servable) -> None:
        self.signature = servable.signature
        version = servable.model_version.version
        labels = self.signature.class_labels
        # Created in advance: Prometheus sees no increase if a series appears with its first count.
        for label in labels[:_MAX_LABELS]:
            self[label] = counts.place(families.PREDICTIONS.name, version, str(label))
        self.unanswered = counts.place(families.UNANSWERED.name, version)
        others = "value" if self.signature.outputs.value is not None else "other"
        self._place_others = partial(counts.place, families.PREDICTIONS.name, version, others)
        if len(self) < len(labels) or not labels:
            self._place_others()

    @cached_property
    def others(self) -> int:
        """The slot of predictions that are not in the list of classes: numbers, lists, free text."""
        return self._place_others()

    def __missing__(self, prediction: object) -> int:
        return self.others


class Metrics:
    """Writes to one block of counts. Call it on the event loop's thread only."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._slots = counts.slots
        self._classes: dict[str, _Places] = {}
        self._endpoints: dict[tuple[str, int], tuple[int, int]] = {}
        self._batch_rows = self._place(families.BATCH_ROWS)
        self._inference = self._place(families.INFERENCE_SECONDS)
        self._lag = self._place(families.LAG)
        self._state = WorkerState(counts)
        self._create_series()

    def observe(self, event: events.Event) -> None:
        """Count one event."""
        match event:
            case events.RegistryAnswered(aspired):
                self._add(families.POLLS, "answered")
                self._state.registry_answered(aspired)
            case events.RegistryFailed(outcome):
                self._add(families.POLLS, outcome)
            case events.CacheFailed():
                self._add(families.CACHE_FAILURES)
            case events.KeysNotRead():
                self._add(families.KEY_FILE_FAILURES)
            case events.ApprovalsChanged():
                self._state.approvals(event)
            case events.LoadFailed(version, stage):
                self._add(families.LOAD_FAILURES, stage)
                self._state.failed(version)
            case events.InferenceTimedOut(version):
                self._add(families.INFERENCE_TIMEOUTS, version.version)
                self._state.failed(version)
            case events.Swapped():
                self._swapped(event)
            case events.ShadowChanged(state, _, version):
                number = int(version) if version else 0
                self._state.shadow(number, failed=state == "failed")

    def _swapped(self, swap: events.Swapped) -> None:
        self._add(families.SWAPS, swap.reason)
        self._state.serves(swap.serving, swap.digest)
        if swap.serving:
            self._place(families.INFERENCE_TIMEOUTS, swap.serving.version)
        if swap.serving and swap.reason != "restored":
            family = families.LOAD_SECONDS
            self._observe(self._place(family), family.buckets, swap.load_seconds)

    def streams(self, count: int) -> None:
        """Set the number of clients of `/events`."""
        self._state.streams(count)

    def fleet(self, connected: bool) -> None:
        """Set whether there is a connection to NATS."""
        self._state.fleet(connected=connected)

    def ran(self, servable: Servable, answers: Answers, seconds: float) -> None:
        """Count one ONNX Runtime call."""
        slots, rows = self._slots, len(answers)
        self._observe(self._batch_rows, _ROWS, rows)
        self._observe(self._inference, _INFERENCE, seconds)
        classes = self._classes.get(servable.model_version.version)
        if classes is None or classes.signature is not servable.signature:
            classes = self._classes_of(servable)
        if answers.errors:
            slots[classes.unanswered] += len(answers.errors)
        if not classes:
            slots[classes.others] += rows - len(answers.errors)
            return
        if rows > _FEW and not answers.errors:
            for prediction, count in Counter(answers.predictions).items():
                slots[classes[prediction]] += count
            return
        for row, prediction in enumerate(answers.predictions):
            if row not in answers.errors:
                slots[classes[prediction]] += 1

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one HTTP request."""
        found = self._endpoints.get((endpoint, code)) or self._endpoint(endpoint, code)
        requests, place = found
        self._slots[requests] += 1
        self._observe(place, _ENDPOINT, seconds)

    def answered_all(self, endpoint: str, code: int, seconds: Sequence[float]) -> None:
        """Count several HTTP requests of one endpoint and code."""
        found = self._endpoints.get((endpoint, code)) or self._endpoint(endpoint, code)
        requests, place = found
        slots = self._slots
        slots[requests] += len(seconds)
        for each in seconds:
            slots[place + bisect_left(_ENDPOINT, each)] += 1
        slots[place + len(_ENDPOINT) + 1] += sum(seconds)

    def refused(self, code: int) -> None:
        """Count one HTTP request that was refused before it was parsed."""
        self._add(families.REQUESTS, "other", str(code))

    def lagged(self, seconds: float) -> None:
        """Count a delay of the event loop."""
        self._observe(self._lag, _LAG, seconds)

    def recorded(self, rows: Mapping[str, int], waiting_bytes: int, waiting_seconds: float) -> None:
        """Count rows by what became of their record; set what waits for the writer."""
        for outcome, count in rows.items():
            self._slots[self._place(families.RECORDED, outcome)] += count
        self._state.records_wait(waiting_bytes, waiting_seconds)

    def outcomes(self, outcome: str, count: int) -> None:
        """Count reported outcomes as `accepted` or `refused`."""
        self._slots[self._place(families.OUTCOMES, outcome)] += count

    def delivered(self, outcome: str) -> None:
        """Count one delivery of a webhook."""
        self._add(families.DELIVERIES, outcome)

    def _create_series(self) -> None:
        """Create the series that operators watch, because an absent series cannot alert."""
        for reason in events.SWAP_REASONS:
            self._place(families.SWAPS, reason)
        for outcome in ("answered", *REGISTRY_OUTCOMES):
            self._place(families.POLLS, outcome)
        for stage in LOAD_STAGES:
            self._place(families.LOAD_FAILURES, stage)
        for endpoint in _ENDPOINTS:
            for code in _CODES:
                self._endpoint(endpoint, code)
        for outcome in ("accepted", "ignored", *REFUSALS):
            self._place(families.DELIVERIES, outcome)
        for outcome in ("recorded", "dropped", "refused"):
            self._place(families.RECORDED, outcome)
        for outcome in ("accepted", "refused"):
            self._place(families.OUTCOMES, outcome)
        self._place(families.CACHE_FAILURES)
        self._place(families.KEY_FILE_FAILURES)
        self._place(families.LOAD_SECONDS)
        self._place(families.RESTARTS)

    def _endpoint(self, endpoint: str, code: int) -> tuple[int, int]:
        place = self._place(families.REQUEST_SECONDS, endpoint)
        places = self._place(families.REQUESTS, endpoint, str(code)), place
        self._endpoints[endpoint, code] = places
        return places

    def _classes_of(self, servable: Servable) -> _Places:
        places = _Places(self._counts, servable)
        self._classes[servable.model_version.version] = places
        return places

    def _place(self, family: Family, *labels: str) -> int:
        # A histogram has one more bucket than bounds, and its sum after them.
        size = len(family.buckets) + 2 if family.buckets else 1
        return self._counts.place(family.name, *labels, size=size)

    def _add(self, family: Family, *labels: str) -> None:
        self._slots[self._place(family, *labels)] += 1

    def _observe(self, place: int, buckets: tuple[float, ...], value: float) -> None:
        """Count a value in the histogram at `place`."""
        self._slots[place + bisect_left(buckets, value)] += 1
        self._slots[place + len(buckets) + 1] += value


_SAMPLE_SECONDS = 0.25


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Call `observe` every quarter of a second with the event loop's delay in seconds. Ends when cancelled.

    Timers have a resolution of one millisecond: an idle loop has a delay of up to that.
    """
    while True:
        due = perf_counter() + _SAMPLE_SECONDS
        await asyncio.sleep(_SAMPLE_SECONDS)
        observe(max(0.0, perf_counter() - due))
