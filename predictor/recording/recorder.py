"""Recorder: puts each answered row into the spool, before its response is sent."""

import contextlib
import hashlib
import hmac
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from predictor.errors import NotRecorded, OutcomesNotKept
from predictor.inference.batcher import Caller
from predictor.inference.compute import Computed
from predictor.inference.protocol import Result
from predictor.log_events import RECORD_OMIT_UNKNOWN, RECORDS_INTERNAL
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.recording.frames import (
    OutcomesFrame,
    RecordedFeature,
    RowsFrame,
    ShadowAnswers,
    ShadowFrame,
    VersionFrame,
    encode,
)
from predictor.recording.spool import Spool, SpoolFull

_HASH_DIGITS = 32
_ALL = 1 << 32  # checksums


@dataclass(frozen=True)
class Omissions:
    """The features of which no value is recorded: those `omitted`, and those of which only a `hashed` text is."""

    omitted: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, text: str, key: bytes = b"") -> "Omissions":
        """From `age,ward:hash`."""
        names = [each.strip() for each in text.split(",") if each.strip()]
        hashed = frozenset(each.removesuffix(":hash") for each in names if each.endswith(":hash"))
        return cls(frozenset(each for each in names if not each.endswith(":hash")), hashed, key)

    def warn_of_unknown(self, servable: Servable) -> None:
        """Log the names that are no features of a version: a mistyped one leaves nothing out."""
        features = {each.name for each in servable.signature.features}
        if unknown := sorted((self.omitted | self.hashed) - features):
            version = servable.model_version
            RECORD_OMIT_UNKNOWN.log(
                features=unknown, model_name=version.name, model_version=version.version
            )

    def hash(self, value: Any) -> str:
        """HMAC-SHA-256 of a value, 32 hex digits: equal values have equal texts."""
        digest = hmac.new(self.key, str(value).encode(), hashlib.sha256).hexdigest()
        return digest[:_HASH_DIGITS]


class _Columns:
    """Which columns of one version's rows are recorded, and how."""

    def __init__(self, servable: Servable, omissions: Omissions) -> None:
        features = servable.signature.features
        self._omissions = omissions
        self._kept = [n for n, each in enumerate(features) if each.name not in omissions.omitted]
        self._hashed = [n for n in self._kept if features[n].name in omissions.hashed]
        self._all = len(self._kept) == len(features) and not self._hashed
        self._signature = servable.signature
        self.packed = servable.signature.pack is not None and not self._hashed
        ranges = {each.name: (each.minimum, each.maximum) for each in servable.profiles}
        self.features = [
            RecordedFeature(features[n].name, "string", kept="hash")
            if n in self._hashed
            else RecordedFeature(
                features[n].name, features[n].dtype, *ranges.get(features[n].name, ())
            )
            for n in self._kept
        ]

    def of(self, rows: Sequence[Row]) -> bytes | list[list[Any]]:
        """The recorded part of some rows."""
        if self._signature.pack is not None:
            table = self._signature.table(rows)
            if self.packed:
                return bytes(table.data) if self._all else table[:, self._kept].tobytes()
            rows = [tuple(row) for row in table.tolist()]
        if self._all:
            return [list(row) for row in rows]
        return [[self._value(row, number) for number in self._kept] for row in rows]

    def _value(self, row: Row, number: int) -> Any:
        return self._omissions.hash(row[number]) if number in self._hashed else row[number]


class Place(NamedTuple):
    """Where the rows of a computation are recorded: the file, the frame in it, and which rows, None for all."""

    file: int
    frame: int
    rows: Sequence[int] | None


class Recorder:
    """Keeps what was answered: a `Keep` of the batcher. Thread-safe.

    If the spool is full, rows are dropped, or their requests are refused.
    """

    def __init__(
        self,
        spool: Spool,
        when_full: Literal["drop", "refuse"],
        *,
        percent: float = 100,
        omissions: Omissions | None = None,
    ) -> None:
        """`percent` of the requests are recorded, chosen by their ids."""
        self.spool = spool
        self._refuses = when_full == "refuse"
        self._counts: Counter[str] = Counter()
        self._sample = round(percent / 100 * _ALL)
        self._omissions = omissions or Omissions()
        self._columns: WeakKeyDictionary[Servable, _Columns] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(
        self, servable: Servable, callers: Sequence[Caller], computed: Computed
    ) -> Sequence[Result]:
        """Record; return what each caller is to get."""
        answers = computed.answers
        if answers is None:
            return computed.results
        chosen = self._chosen(callers, computed)
        if not chosen.places or self._append(servable, chosen, computed, answers):
            return computed.results
        refused = {*chosen.places}
        return [
            NotRecorded() if place in refused else result
            for place, result in enumerate(computed.results)
        ]

    def keep_outcomes(self, outcomes: OutcomesFrame) -> None:
        """Put outcomes into the spool. Raises OutcomesNotKept if that is not possible, whatever `when_full` says."""
        frame = encode(outcomes)
        with self._lock:
            try:
                self.spool.close_if_large()
                self.spool.append(frame)
            except (SpoolFull, OSError):
                raise OutcomesNotKept from None

    def add_shadow(
        self,
        version: str,
        digest: str,
        answers: Sequence[tuple[Place, Sequence[Any], Sequence[float | None]]],
    ) -> None:
        """Record what the shadow answered: its prediction and that one's probability for each row of some computations.

        Answers to rows whose file is closed are left out, and all if the disk is full: the rows themselves are recorded.
        """
        with self._lock:
            found = [
                ShadowAnswers(place.frame, *_of_rows(place.rows, predictions, probabilities))
                for place, predictions, probabilities in answers
                if self.spool.frames and self.spool.file == place.file
            ]
            if found:
                with contextlib.suppress(SpoolFull, OSError):
                    self.spool.append(encode(ShadowFrame(version, digest, found)))

    def close_file(self, older_than: float = 0) -> "State":
        """Close the open file if it is older (seconds)."""
        with self._lock:
            self.spool.close_after(older_than)
            self.spool.look()
            counts, self._counts = self._counts, Counter()
            return State(counts, self.spool.bytes_waiting, self.spool.seconds_waiting)

    def _chosen(self, callers: Sequence[Caller], computed: Computed) -> "_Requests":
        """The requests that are answered, and chosen by their ids."""
        groups, results = computed.groups, computed.results
        places, protocol, read = groups[0]
        failed = any(isinstance(each, Exception) for each in results)
        if len(groups) == 1 and read.counts is None and not failed and self._sample == _ALL:
            names, counts = [protocol.name] * len(callers), [1] * len(callers)
            return _Requests([*places], [*callers], names, counts)
        chosen, start = _Requests([], [], [], [], []), 0
        for places, protocol, read in groups:
            answered = [place for number, place in enumerate(places) if number not in read.errors]
            for place, count in zip(answered, read.counts or [1] * len(answered), strict=True):
                caller = callers[place]
                in_sample = zlib.crc32(caller.request_id.encode()) < self._sample
                if in_sample and not isinstance(results[place], Exception):
                    chosen.add(place, caller, protocol.name, range(start, start + count))
                start += count
        return chosen

    def _append(
        self, servable: Servable, chosen: "_Requests", computed: Computed, answers: Answers
    ) -> bool:
        """Append the rows; False if the requests have to be refused."""
        count, outcome = sum(chosen.counts), "recorded"
        try:
            computed.record = self._encode_and_append(servable, chosen, computed.rows, answers)
        except (SpoolFull, OSError):
            outcome = "refused" if self._refuses else "dropped"
        except Exception:  # noqa: BLE001  a fault here must not leave requests without a response
            RECORDS_INTERNAL.log(exc_info=True)
            outcome = "refused" if self._refuses else "dropped"
        with self._lock:
            self._counts[outcome] += count
        return outcome != "refused"

    def _encode_and_append(
        self, servable: Servable, chosen: "_Requests", rows: Sequence[Row], answers: Answers
    ) -> Place:
        if chosen.rows is not None:
            rows = [rows[row] for row in chosen.rows]
            answers = Answers.of(servable.signature, [answers[row] for row in chosen.rows])
        columns = self._columns.get(servable)
        if columns is None:
            self._omissions.warn_of_unknown(servable)
            columns = self._columns[servable] = _Columns(servable, self._omissions)
        recorded = columns.of(rows)
        # Not by the servable itself, which would then live as long as the file is open.
        key = servable.model_version, servable.artifact.onnx_sha256
        with self._lock:
            number = self.spool.version(key, partial(_described, servable, columns))
            self.spool.append(encode(_frame(number, chosen, recorded, answers)))
            return Place(self.spool.file, self.spool.frames - 1, chosen.rows)


class _Requests(NamedTuple):
    """Requests to record: their positions, callers, protocols and numbers of rows; and which rows, None for all."""

    places: list[int]
    callers: list[Caller]
    protocols: list[str]
    counts: list[int]
    rows: list[int] | None = None

    def add(self, place: int, caller: Caller, protocol: str, rows: range) -> None:
        """Add a request."""
        self.places.append(place)
        self.callers.append(caller)
        self.protocols.append(protocol)
        self.counts.append(len(rows))
        if self.rows is not None:
            self.rows.extend(rows)


@dataclass(frozen=True)
class State:
    """Rows by outcome since the last call, the bytes that wait for the writer, and for how many seconds."""

    rows: Mapping[str, int]
    bytes_waiting: int
    seconds_waiting: float


def _of_rows(
    rows: Sequence[int] | None, predictions: Sequence[Any], probabilities: Sequence[float | None]
) -> tuple[list[Any], list[float | None]]:
    if rows is None:
        return [*predictions], [*probabilities]
    given = [row for row in rows if row < len(predictions)]
    return [predictions[row] for row in given], [probabilities[row] for row in given]


def _described(servable: Servable, columns: _Columns) -> VersionFrame:
    version, point = servable.model_version, servable.operating_point
    return VersionFrame(
        version.name,
        version.version,
        version.run_id,
        servable.artifact.onnx_sha256,
        columns.features,
        list(servable.signature.class_labels),
        columns.packed,
        servable.signature.positive_class,
        None if point is None else (point.name, point.threshold),
    )


def _frame(
    number: int, requests: _Requests, rows: bytes | list[list[Any]], answers: Answers
) -> RowsFrame:
    scores, outputs = answers.scores, [*_rows_of(answers.outputs)]
    probabilities = None
    if answers.answers is not None:
        probabilities = [each.probabilities or None for each in answers.answers]
        outputs = outputs or [each.outputs or {} for each in answers.answers]
    return RowsFrame(
        number,
        time.time(),
        [each.request_id for each in requests.callers],
        [each.key for each in requests.callers],
        requests.protocols,
        requests.counts,
        rows,
        list(answers.predictions),
        scores,
        probabilities,
        outputs if any(outputs) else None,
    )


def _rows_of(columns: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))
