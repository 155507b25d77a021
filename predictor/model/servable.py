"""Servable: an immutable, loaded model version. The only module that imports ONNX Runtime."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from predictor import clock
from predictor.errors import FieldError, InferenceTimeout, InvalidRecord, LoadError
from predictor.model.answers import Answers, read_answers
from predictor.model.artifact import Artifact, Fetched
from predictor.model.decoder import RowDecoder
from predictor.model.encoder import Encoder
from predictor.model.linear import Linear
from predictor.model.mlmodel import PythonFunction
from predictor.model.onnx_errors import missing_locale, one_line
from predictor.model.operating_point import OperatingPoint
from predictor.model.page_texts import PageTexts
from predictor.model.signature import Row, Signature, Value
from predictor.model.training_bins import TrainingBins
from predictor.model.training_ranges import FeatureProfile, Ranges
from predictor.model_version import ModelVersion

# The wheels report usage unless this is set before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort


class Interrupt:
    """Stops the thread that builds a version: `throw` runs the registered actions once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._actions: list[Callable[[], None]] = []
        self._raised = False

    def on_raise(self, action: Callable[[], None]) -> None:
        """Run `action` on `throw`, or now if `throw` was called. It must be quick and thread-safe."""
        with self._lock:
            self._actions.append(action)
            raised = self._raised
        if raised:
            action()

    def throw(self) -> None:
        """Run the registered actions; actions that are registered later run at once."""
        with self._lock:
            self._raised = True
            actions = list(self._actions)
        for action in actions:
            action()


LOOP_SECONDS = 1e-3
"""The longest call that may run on the event loop; longer ones run in a thread.

A round trip to a thread takes 96 µs at the median, on one core, which would dominate a short call. A long
call on the loop would delay `/health` and every other client.
"""
_MAX_ROWS = 128  # of a call on the loop, because decoding and encoding take as long as computing
_MAX_VALUES = 8192  # as `_MAX_ROWS`, for records with many features
_ROWS = 16  # of a measured call
_TIMES = 5  # that each call is measured


@dataclass(frozen=True)
class Cost:
    """Seconds that ONNX Runtime takes: for each call, and for each row in it."""

    call: float = 0.0
    row: float = 0.0

    def rows_on_loop(self, features: int) -> int:
        """The number of rows with `features` features that may run on the event loop in one call.

        0 means that even a single row runs in a thread.
        """
        if self.call + self.row > LOOP_SECONDS:
            return 0
        affordable = (LOOP_SECONDS - self.call) / self.row if self.row else math.inf
        return max(1, int(min(affordable, _MAX_ROWS, _MAX_VALUES / features)))


def measure(
    run: Callable[[Sequence[Any]], object], row: Any, clock: Callable[[], float] = perf_counter
) -> Cost:
    """The cost of `run`, which computes rows and has run before.

    The shortest of several runs counts, because other work on the machine only adds time.
    """
    one = _seconds(run, [row], clock)
    if one > LOOP_SECONDS:
        return Cost(one)
    several = _seconds(run, [row] * _ROWS, clock)
    each = max(0.0, several - one) / (_ROWS - 1)
    return Cost(max(0.0, one - each), each)


def _seconds(
    run: Callable[[Sequence[Any]], object], rows: Sequence[Any], clock: Callable[[], float]
) -> float:
    least = math.inf
    for _ in range(_TIMES):
        started = clock()
        run(rows)
        least = min(least, clock() - started)
    return least


Run = Callable[[list[str], Mapping[str, Any], ort.RunOptions], Sequence[Any]]
"""ONNX Runtime's own call: names of outputs, tensors, options."""
Runs = Callable[[Run, list[str], Mapping[str, Any]], Sequence[Any]]
"""Chooses the options of such a call, and makes it."""

MAX_ROWS_A_CALL = 512  # of a batch; the event loop runs between two calls
_CALL_SECONDS = 1.0  # maximum for a call with many rows


class RecordedExample(msgspec.Struct, frozen=True):
    """A record, with scikit-learn's prediction and probabilities at the time of the export."""

    record: dict[str, Any]
    prediction: str | int | float | bool | list[str | int | float | bool]
    probabilities: dict[str, float] = {}


@dataclass(frozen=True, eq=False)
class Servable:
    """One model version that computes answers. It is thread-safe.

    `loaded_at` is a time of `clock.now`. `profiles` are in the order of the features; `background`
    are training rows, which never leave the service; both are empty if the artifact has none.
    `categories` are the only values that the graph accepts, by the index of the feature.
    `training_bins` say how many training rows each part of a feature's range has.
    """

    model_version: ModelVersion
    artifact: Artifact
    signature: Signature
    decoder: RowDecoder
    session: ort.InferenceSession = field(repr=False)
    runs: Runs = field(repr=False)
    examples: tuple[RecordedExample, ...] = field(default=(), repr=False)
    profiles: tuple[FeatureProfile, ...] = field(default=(), repr=False)
    background: tuple[tuple[Value, ...], ...] = field(default=(), repr=False)
    python_function: PythonFunction = field(default_factory=PythonFunction)
    loaded_at: float = field(default_factory=clock.now)
    load_seconds: float = 0.0
    cost: Cost = field(default_factory=Cost)
    linear: Linear | None = field(default=None, repr=False)
    categories: Mapping[int, frozenset[Value]] = field(default_factory=dict, repr=False)
    operating_point: OperatingPoint | None = None
    page: PageTexts = field(default_factory=PageTexts, repr=False)
    training_bins: TrainingBins = field(default_factory=TrainingBins, repr=False)

    @cached_property
    def rows_on_loop(self) -> int:
        """The number of rows that may run on the event loop in one call; 0 if even one takes too long."""
        return self.cost.rows_on_loop(len(self.signature.features))

    @cached_property
    def rows_a_call(self) -> int:
        """The number of rows of a batch in one call; fewer for a slow model, so that calls end in time."""
        # A slow model was only measured with one row. In a batch, a row takes at most as long.
        row = self.cost.row or self.cost.call
        return max(1, int(min(MAX_ROWS_A_CALL, _CALL_SECONDS / row if row else math.inf)))

    @cached_property
    def encoder(self) -> Encoder:
        """Writes this version's answers as JSON."""
        return Encoder(self.model_version, self.signature, self.operating_point)

    @cached_property
    def ranges(self) -> Ranges:
        """Finds the values that are outside the training data."""
        return Ranges(self.signature, self.profiles)

    def answer(self, rows: Sequence[Row]) -> Answers:
        """One answer per row, in order; an error for a row that the model cannot compute.

        Raises InferenceTimeout.
        """
        if len(rows) > 1 and self.signature.one_row_at_a_time:
            return self._answer_one_by_one(rows)
        try:
            outputs = self.run(rows)
        except InferenceTimeout:
            raise
        except Exception as error:  # noqa: BLE001  ONNX Runtime raises a dozen types, all its own
            if len(rows) > 1:
                # A single row fails the whole call, so each runs alone.
                return self._answer_one_by_one(rows)
            return Answers.of(self.signature, [self._not_computed(rows[0], error)])
        answers = read_answers(self.signature, outputs)
        if len(rows) == 1 != len(answers):
            reason = f"the model returns {len(answers)} answers for one record"
            return Answers.of(self.signature, [InvalidRecord([FieldError("", reason)])])
        return answers

    def _not_computed(self, row: Row, error: Exception) -> InvalidRecord:
        """The error of a row: its unknown categories, or else ONNX Runtime's reason."""
        values = np.frombuffer(row, np.float32).tolist() if isinstance(row, bytes) else row
        unknown = [
            FieldError(
                self.signature.features[place].name, "not a category that this version knows"
            )
            for place, known in self.categories.items()
            if _as_category(values[place]) not in known
        ]
        if unknown:
            return InvalidRecord(unknown)
        reason = f"the model cannot compute this record: {one_line(error)}"
        return InvalidRecord([FieldError("", reason)])

    def _answer_one_by_one(self, rows: Sequence[Row]) -> Answers:
        return Answers.of(self.signature, [a for row in rows for a in self.answer([row])])

    def run(self, rows: Sequence[Row]) -> Sequence[Any]:
        """The outputs of `signature.outputs.names`. ONNX Runtime's exceptions are not converted."""
        return self.compute(self.signature.outputs.names, self.signature.feed(rows))

    def compute(self, names: list[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        """The outputs with these names, for tensors from `Signature.feed`. Raises as `run`."""
        return self.runs(self._run, names, feed)

    @cached_property
    def _run(self) -> Run:
        # ONNX Runtime's Python wrapper checks names and types of the inputs on each call, which takes a
        # quarter of the time of a row. Tensors from the signature always have the right ones.
        compiled = getattr(self.session, "_sess", self.session)
        run: Run = compiled.run
        return run


def open_session(fetched: Fetched, interrupt: Interrupt) -> ort.InferenceSession:
    """An ONNX Runtime session for a graph and its external data. Raises LoadError (stage `session`)."""
    options = ort.SessionOptions()
    # One thread: a small model gains nothing from more, and spinning threads use the cores that requests
    # need.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Inputs have one row or a few hundred. For these, memory patterns take longer than malloc, and an
    # arena would keep its memory for ever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = (
        4  # fatal only: errors are raised as well, and its lines are not JSON
    )
    if external := fetched.external_data:
        contents = list(external.values())
        options.add_external_initializers_from_files_in_memory(
            list(external), contents, [len(content) for content in contents]
        )
    interrupt.on_raise(lambda: options.set_load_cancellation_flag(True))
    try:
        session = ort.InferenceSession(fetched.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        path = fetched.artifact.onnx_path
        reason = missing_locale(error) or one_line(error)
        raise LoadError("session", f"ONNX Runtime cannot load {path}: {reason}") from error
    # Free the copy of the file, which is only needed to reopen the session with other providers.
    vars(session).pop("_model_bytes", None)
    return session


def new_options() -> ort.RunOptions:
    """Options for calls; a call ends at the next node of the graph once `terminate` is set."""
    return ort.RunOptions()


def unwatched() -> Runs:
    """Calls without a time limit. They share options, because ONNX Runtime would create new ones each time."""
    return _with(ort.RunOptions())


def interruptible(interrupt: Interrupt) -> Runs:
    """Calls that end at the next node of the graph once `interrupt` is thrown."""
    options = ort.RunOptions()
    interrupt.on_raise(lambda: setattr(options, "terminate", True))
    return _with(options)


def _with(options: ort.RunOptions) -> Runs:
    return lambda run, names, feed: run(names, feed, options)


def _as_category(value: Value) -> Value:
    # Encoders of integers accept floats, except NaN.
    return int(value) if isinstance(value, float) and math.isfinite(value) else value
