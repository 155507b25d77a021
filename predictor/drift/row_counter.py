"""Row counter: counts the rows of the serving version by bin, many at once, and renders the counts for Prometheus."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from predictor.drift.row_bins import RowBins
from predictor.inference.compute import Computed
from predictor.metrics.counts import Counts
from predictor.metrics.families import FEATURE_ROWS, FEATURE_TRAINING_ROWS, Family
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row

MAX_VALUES = 16_384  # counted at once: about half a millisecond of the event loop
_MAX_WAITING = 16  # times as many rows besides the latest; more are counted before the loop goes on


class RowCounter:
    """Counts rows in the block of this process: a `Watch` of the batcher. Call it on the event loop's thread only.

    It keeps the rows of at most a second, and only to count them.
    """

    def __init__(
        self, counts: Counts, others: Sequence[Counts], max_features: int,
        *, seconds: float = 1.0, max_values: int = MAX_VALUES,
    ) -> None:  # fmt: skip
        """`others` are the blocks of the other processes, whose counts are rendered, too.

        Rows are counted after so many `seconds`, or as soon as there are about `max_values` values.
        """
        self._seconds = seconds
        self._max_values = max_values
        self._counts = counts
        self._blocks = [counts, *others]
        self._max_features = max_features
        self._waiting: deque[tuple[Sequence[Row], Answers]] = deque()
        self._start = 0  # the rows of the first that are counted
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._version: _Version | None = None

    def serve(self, servable: Servable | None) -> None:
        """Count the rows of this servable from now on; those of the one before are counted first."""
        if self._version is not None:
            self._count_all()
        bins = servable.training_bins if servable else None
        self._version = None
        if servable is not None and bins is not None and bins.features:
            self._version = _Version(servable, self._counts, self._max_features, self._max_values)

    def __call__(self, servable: Servable, computed: Computed) -> None:
        """Keep the rows until there are many. Those of a version that has just ceased to serve are not counted."""
        version, answers = self._version, computed.answers
        if version is None or servable is not version.servable or answers is None:
            return
        before = self._rows
        self._waiting.append((computed.rows, answers))
        self._rows += len(computed.rows)
        if self._rows >= version.at_once:
            if before < version.at_once:
                asyncio.get_running_loop().call_soon(self._count)
            while self._rows - len(computed.rows) > _MAX_WAITING * version.at_once:
                self._count_some(version)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._count_all)

    def _count(self) -> None:
        """Count some rows, and the next ones after what else the loop has to do."""
        version = self._version
        if version is None or self._rows < version.at_once:
            return
        self._count_some(version)
        if self._rows >= version.at_once:
            asyncio.get_running_loop().call_soon(self._count)
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._count_all)

    def _count_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._version is not None:
            self._count_some(self._version)

    def _count_some(self, version: "_Version") -> None:
        """Count the first `at_once` rows that wait."""
        rows: list[Row] = []
        parts: list[Answers] = []
        while self._waiting and len(rows) < version.at_once:
            part, answers = self._waiting[0]
            stop = min(len(part), self._start + version.at_once - len(rows))
            rows += part[self._start : stop]
            parts.append(answers.part(self._start, stop))
            self._start = stop
            if stop == len(part):
                self._waiting.popleft()
                self._start = 0
        self._rows -= len(rows)
        version.count(rows, parts)

    def render(self) -> bytes:
        """Both families for the serving version, in Prometheus's text format; nothing if no rows are counted."""
        return b"" if self._version is None else self._version.render(self._blocks)


class _Version:
    """The serving version: its bins, their places in the counts, and its part of the exposition."""

    def __init__(
        self, servable: Servable, counts: Counts, max_features: int, max_values: int
    ) -> None:
        self.servable = servable
        self._bins = RowBins(servable, max_features)
        self.at_once = max(1, max_values // len(self._bins.labelled))
        version = servable.model_version.version
        # A version that was deleted and registered again has other bins.
        digest = servable.artifact.onnx_sha256[:8]
        self._keys = [("rows_by_bin", version, digest, each.name) for each in self._bins.labelled]
        places = [
            counts.place(*key, size=len(each.labels))
            for key, each in zip(self._keys, self._bins.labelled, strict=True)
        ]
        self._slots = np.asarray(counts.slots)
        self._places = np.concatenate(
            [
                np.arange(place, place + len(each.labels))
                for place, each in zip(places, self._bins.labelled, strict=True)
            ]
        )

    @cached_property
    def _text(self) -> tuple[list[str], str]:
        """The text before each count, and all of the training rows. Made at the first scrape: a swap does not wait for it."""
        version = _escaped(self.servable.model_version.version)
        before: list[str] = []
        training: list[str] = []
        for each in self._bins.labelled:
            rest = f'feature="{_escaped(each.name)}",model_version="{version}"}} '
            labels = [f'{{bin="{_escaped(label)}",{rest}' for label in each.labels]
            before += [f"{FEATURE_ROWS.name}{label}" for label in labels]
            training += [
                f"{FEATURE_TRAINING_ROWS.name}{label}{count}.0\n"
                for label, count in zip(labels, each.training or (), strict=False)
            ]
        return before, "".join([*_head(FEATURE_TRAINING_ROWS), *training])

    def count(self, rows: Sequence[Row], answers: Sequence[Answers]) -> None:
        """Add these rows to the counts."""
        # Where the memory for counts is full, several features share a place.
        np.add.at(self._slots, self._places, self._bins.count(rows, answers))

    def render(self, blocks: Iterable[Counts]) -> bytes:
        """Sums over all processes, and the training rows."""
        text_before, training = self._text
        sums = np.zeros(len(text_before))
        for block in blocks:
            at = 0
            for key, each in zip(self._keys, self._bins.labelled, strict=True):
                size = len(each.labels)
                if values := block.values(*key):
                    sums[at : at + size] += values
                at += size
        lines = [
            f"{before}{value}\n" for before, value in zip(text_before, sums.tolist(), strict=True)
        ]
        return "".join([*_head(FEATURE_ROWS), *lines, training]).encode()


def _head(family: Family) -> tuple[str, str]:
    return f"# HELP {family.name} {family.help}\n", f"# TYPE {family.name} {family.kind}\n"


def _escaped(label: str) -> str:
    """A label's value in Prometheus's text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
