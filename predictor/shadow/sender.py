"""Sender: gives the shadow's process the rows that were answered, and takes what it found. It never waits."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from predictor.inference.compute import Computed
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.shadow.messages import (
    Answered,
    Compared,
    Computation,
    FromShadow,
    NoServing,
    NotCompared,
    Ping,
    PollNow,
    Pong,
    Rows,
    Serving,
    State,
    encode,
)
from predictor.shadow.tally import Tally, Versions

_PAUSE_SECONDS = 0.005  # rows of so much time make one message
# Of one message, or of one computation, whose further rows are skipped: encoding them on the event loop takes a
# fraction of a millisecond.
_MAX_COMPUTATIONS = 32
_MAX_ROWS = 512
_MAX_VALUES = 8192
_MAX_WAITING_ROWS = 4096  # that the process has not compared yet
_MAX_MESSAGES = 64  # the same


Keep = Callable[[str, str, Sequence[tuple[Any, Sequence[Any], Sequence[float | None]]]], None]
"""Adds the shadow's answers to the records of some computations.

The arguments are the shadow's version and digest, and for each computation its `Computed.record` and the shadow's
prediction and that prediction's probability for each row up to the last that it was given; None for rows that it failed.
"""


@dataclass(frozen=True)
class _Part:
    """The rows of one computation that were sent: their indices among all of it."""

    computed: Computed
    rows: Sequence[int]


@dataclass(frozen=True)
class _Message:
    """A message that waits for its answer."""

    rows: int
    versions: Versions
    parts: Sequence[_Part]  # empty unless answers are recorded


class Sender:
    """One worker's side of the connection: a `Watch` of the batcher. Use it on the event loop's thread only."""

    def __init__(
        self,
        tally: Tally,
        percent: float,
        *,
        changed: Callable[[State], None],
        keep: Keep | None = None,
    ) -> None:
        """`percent` of the computations are sent. `changed` is called when the state of the comparison changes."""
        self._tally = tally
        self._share = percent / 100
        self._changed = changed
        self._keep = keep
        self._transport: asyncio.WriteTransport | None = None
        self._serving: Servable | None = None
        self._versions: Versions | None = None  # of the pair that is compared, or was last
        self._compares = False
        self._waiting: list[_Part] = []
        self._waiting_rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unanswered: dict[int, _Message] = {}
        self._unanswered_rows = 0
        self._number = 0
        self._pinged_at: float | None = None
        self.busy_seconds = 0.0

    def __call__(self, servable: Servable, computed: Computed) -> None:
        """Send what was computed, soon and if there is room; count it as skipped if not."""
        if self._share < 1 and random.random() >= self._share:  # noqa: S311  a sample
            return
        rows = len(computed.rows)
        if not rows or computed.answers is None:
            return
        if not self._compares:
            if self._transport is None:
                self._tally.skipped(self._versions, rows)
            return
        if servable is not self._serving or self._is_busy(rows):
            self._tally.skipped(self._versions, rows)
            return
        part = self._part(servable, computed)
        self._tally.skipped(self._versions, rows - len(part.rows) - len(computed.answers.errors))
        if not part.rows:
            return
        self._waiting.append(part)
        self._waiting_rows += len(part.rows)
        if len(self._waiting) >= _MAX_COMPUTATIONS or self._waiting_rows >= _MAX_ROWS:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._send)

    def connected(self, transport: asyncio.WriteTransport) -> None:
        """Use this connection from now on."""
        self._transport = transport
        self._pinged_at = None
        self._say_serving()

    def disconnected(self) -> None:
        """The connection has ended. Count what was not answered as failed."""
        self._transport = None
        self._pinged_at = None
        self.busy_seconds = 0.0
        for message in self._unanswered.values():
            self._tally.failed(message.versions, message.rows)
        self._unanswered, self._unanswered_rows = {}, 0
        self._stop_comparing()

    def serves(self, servable: Servable | None) -> None:
        """This servable answers requests from now on; None: nothing does."""
        self._stop_comparing()
        self._serving, self._versions = servable, None
        self._say_serving()

    def poll_now(self) -> None:
        """Tell the process that the registry has changed."""
        if self._transport is not None:
            self._transport.write(encode(PollNow()))

    def ping(self) -> None:
        """Ask whether the process responds, unless it was asked and has not answered."""
        if self._transport is not None and self._pinged_at is None:
            self._pinged_at = asyncio.get_running_loop().time()
            self._transport.write(encode(Ping()))

    @property
    def silent_seconds(self) -> float:
        """How long the process has not answered `ping`, or computed one message."""
        if self._pinged_at is None:
            return self.busy_seconds
        return max(self.busy_seconds, asyncio.get_running_loop().time() - self._pinged_at)

    def received(self, message: FromShadow) -> None:
        """A message from the process."""
        if isinstance(message, Pong):
            self._pinged_at, self.busy_seconds = None, message.busy_seconds
        elif isinstance(message, State):
            self._state(message)
        else:
            self._found(message)

    @property
    def versions(self) -> Versions | None:
        """The pair that is compared now; None for none."""
        return self._versions if self._compares else None

    def _state(self, state: State) -> None:
        serving = _identity(self._serving) if self._serving else None
        if state.state == "comparing":
            if state.serving != serving or serving is None:
                return  # about a version that served before; the state of this one follows
            self._send()
            self._versions = Versions(serving, (state.version or "", state.digest or ""))
            if self._serving is not None:
                self._tally.expect(self._serving.signature.label_names)
            self._compares = True
        else:
            self._stop_comparing()
        self._changed(state)

    def _found(self, found: Compared | NotCompared) -> None:
        message = self._unanswered.pop(found.number, None)
        if message is None:
            return
        self._unanswered_rows -= message.rows
        if isinstance(found, NotCompared):
            count = self._tally.failed if found.failed else self._tally.skipped
            count(message.versions, message.rows)
            return
        # The shadow may have got another version since the message was sent.
        versions = Versions(message.versions.serving, (found.version, found.digest))
        self._tally.compared(versions, found)
        if self._keep is None or found.answers is None:
            return
        answers = [
            (part.computed.record, *_by_row(part, answered))
            for part, answered in zip(message.parts, found.answers, strict=True)
            if part.computed.record is not None
        ]
        if answers:
            self._keep(found.version, found.digest, answers)

    def _is_busy(self, rows: int) -> bool:
        if self._transport is None or self._transport.get_write_buffer_size():
            return True
        waiting = self._unanswered_rows + self._waiting_rows
        if waiting and waiting + rows > _MAX_WAITING_ROWS:
            return True
        return len(self._unanswered) >= _MAX_MESSAGES

    def _part(self, servable: Servable, computed: Computed) -> _Part:
        """The rows to send: only answered ones, and no more than a message may have."""
        count = len(computed.rows)
        features = max(1, len(servable.signature.features))
        most = max(1, min(_MAX_ROWS, _MAX_VALUES // features))
        errors = computed.answers.errors if computed.answers else {}
        if not errors:
            return _Part(computed, range(min(count, most)))
        return _Part(computed, [row for row in range(count) if row not in errors][:most])

    def _send(self) -> None:
        """Send what waits, as one message."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        parts, self._waiting = self._waiting, []
        rows, self._waiting_rows = self._waiting_rows, 0
        if not parts:
            return
        if self._transport is None or self._serving is None or self._versions is None:
            self._tally.skipped(self._versions, rows)
            return
        self._number += 1
        computations = [_computation(self._serving, each) for each in parts]
        self._transport.write(encode(Rows(self._number, computations)))
        kept = parts if self._keep else ()
        self._unanswered[self._number] = _Message(rows, self._versions, kept)
        self._unanswered_rows += rows

    def _stop_comparing(self) -> None:
        self._send()
        self._compares = False

    def _say_serving(self) -> None:
        if self._transport is None:
            return
        servable = self._serving
        answers = self._keep is not None
        message = Serving.of(servable, answers=answers) if servable else NoServing()
        self._transport.write(encode(message))


def _identity(servable: Servable) -> tuple[str, str]:
    return servable.model_version.version, servable.artifact.onnx_sha256


def _computation(servable: Servable, part: _Part) -> Computation:
    computed, answers = part.computed, part.computed.answers
    if answers is None:
        raise ValueError("a computation without rows is not sent")
    rows, count = computed.rows, len(part.rows)
    if isinstance(part.rows, range):  # all, or the first ones
        rows, answers = rows[:count], answers.part(0, count)
    else:
        rows = [rows[row] for row in part.rows]
        answers = Answers.of(servable.signature, [answers[row] for row in part.rows])
    return Computation(
        _encoded(servable, rows), list(answers.predictions), _scores(answers), computed.seconds
    )


def _encoded(servable: Servable, rows: Sequence[Row]) -> bytes | list[list[Any]]:
    if servable.signature.pack is None:
        return [list(row) for row in rows]
    try:
        return b"".join(rows)  # type: ignore[arg-type]
    except TypeError:  # some rows are tuples
        return servable.signature.table(rows).tobytes()


def _scores(answers: Answers) -> Sequence[Sequence[float | None]] | None:
    if answers.scores is not None:
        return answers.scores
    names = answers.signature.label_names
    if answers.answers is None or not all(each.probabilities for each in answers.answers):
        return None
    maps = [each.probabilities or {} for each in answers.answers]
    return [[each.get(name) for name in names] for each in maps]


def _by_row(part: _Part, answered: Answered) -> tuple[list[Any], list[float | None]]:
    """The predictions and probabilities by the index of the row in its computation, up to the last row that was sent."""
    count = part.rows[-1] + 1
    predictions: list[Any] = [None] * count
    probabilities: list[float | None] = [None] * count
    for place, row in enumerate(part.rows):
        predictions[row] = answered.predictions[place]
        probabilities[row] = answered.probabilities[place]
    return predictions, probabilities
