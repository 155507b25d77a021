"""From a record's body to its answer and the contribution of each feature. It runs in a thread."""

import math
from collections.abc import Sequence
from threading import Lock
from time import perf_counter
from typing import Annotated, Any, Literal
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from predictor.inference.compute import Computed, Run
from predictor.inference.protocol import Read
from predictor.model.answers import Answer, Prediction
from predictor.model.linear import Linear, table
from predictor.model.operating_point import Comparison
from predictor.model.servable import Servable
from predictor.model.signature import Row, Value
from predictor.model.training_ranges import OutOfRange
from predictor.model.validation import parse_value
from predictor.openapi.schemas import doc
from predictor.protocols.explain import sampling as plan
from predictor.protocols.explain.output import Mixed, Output
from predictor.protocols.explain.sampling import NoBackground, Plan, rows_per_call, sample

Floats = NDArray[np.float64]


class Contribution(msgspec.Struct, frozen=True):
    """What one feature's value added to the answer, or took from it."""

    feature: str
    value: Annotated[Value | None, doc("Null where it is missing.")]
    contribution: float
    standard_error: Annotated[float, doc("0 where it is exact.", minimum=0)]


class Baseline(msgspec.Struct, frozen=True):
    """The mean answer to rows of the training data, with which the answer is compared."""

    rows: Annotated[int, doc("The number of rows.", minimum=1)]
    value: float
    kind: Literal["background"]


class Explanation(msgspec.Struct, frozen=True):
    """Shapley values: the contributions, the largest first, add up to `value` minus the baseline's value."""

    output: Annotated[str, doc("The class that is explained, or `prediction`.")]
    scale: Annotated[
        Literal["probability", "log_odds", "value"], doc("The scale of all numbers here.")
    ]
    method: Literal["linear", "permutation"]
    baseline: Baseline
    value: Annotated[float, doc("The answer, on `scale`.")]
    contributions: list[Contribution]
    permutations: Annotated[int, doc("The number sampled; 0 for exact contributions.", minimum=0)]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a response; all fields but `explanation` are those of `/predict`."""

    prediction: Prediction
    probability: float | UnsetType = UNSET
    probabilities: dict[str, float] | UnsetType = UNSET
    outputs: dict[str, Any] | UnsetType = UNSET
    operating_point: Comparison | UnsetType = UNSET
    warnings: Sequence[OutOfRange] | UnsetType = UNSET
    explanation: Explanation
    model_name: str
    model_version: str


def largest_first(
    names: Sequence[str], values: Sequence[Value | None], contributions: Floats, errors: Floats
) -> list[Contribution]:
    """The contributions of the features, which come in the signature's order."""
    listed = map(Contribution, names, values, contributions.tolist(), errors.tolist())
    return sorted(listed, key=lambda each: -abs(each.contribution))


_MEASUREMENTS = 3  # the shortest counts: other work on the machine only adds to it


class Explainer:
    """Explains answers of any servable; it keeps one plan for each."""

    name = "explain"

    def __init__(self) -> None:
        # A plan lives as long as its servable. One thread makes it, and the others wait.
        self._plans: WeakKeyDictionary[Servable, Plan] = WeakKeyDictionary()
        self._planning = Lock()

    def explain(self, body: bytes, servable: Servable, run: Run) -> Computed:
        """Predict and explain one record: a `Work`, once the body is given.

        Raises RequestError, among them NoBackground and NotExplainable, and NotInTime.
        """
        if not servable.background:
            raise NoBackground
        row = servable.decoder.record(body)
        ((_, answers),) = run([row])
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        output = Output.of(servable.signature, answer)
        values = _values(servable, body)
        if servable.linear is not None:
            explanation = _exactly(servable, output, servable.linear, row, values)
        else:
            explanation = self._by_sampling(servable, output, answer, row, values)
        version, point = servable.model_version, servable.operating_point
        explained = msgspec.json.encode(
            Explained(
                prediction=answer.prediction,
                probability=answer.probability,
                probabilities=answer.probabilities,
                outputs=answer.outputs,
                operating_point=UNSET if point is None else point.compare(answer),
                warnings=servable.ranges.outside([row]).get(0, UNSET),
                explanation=explanation,
                model_name=version.name,
                model_version=version.version,
            )
        )
        return Computed.of_one(explained, self, Read([row]), answers)

    def _by_sampling(
        self,
        servable: Servable,
        output: Output,
        answer: Answer,
        row: Row,
        values: Sequence[Value | None],
    ) -> Explanation:
        record, rows = (servable.signature.feed(each) for each in ([row], servable.background))

        def mixed(seconds: float) -> Mixed:
            return Mixed(servable, output, record, rows, seconds=seconds)

        planned = self._plan(servable, mixed(math.inf))
        value = output.of_answer(answer)
        found = sample(mixed(plan.MAX_SECONDS), value, planned.ranks, planned.sources)
        return Explanation(
            output.name,
            "value" if output.label is None else "probability",
            "permutation",
            Baseline(len(planned.sources), found.baseline, "background"),
            value,
            largest_first(_names(servable), values, found.contributions, found.standard_errors),
            2 * found.pairs,
        )

    def _plan(self, servable: Servable, mixed: Mixed) -> Plan:
        with self._planning:
            planned = self._plans.get(servable)
            if planned is None:
                planned = self._plans[servable] = _planned(servable, mixed)
            return planned


def _planned(servable: Servable, mixed: Mixed) -> Plan:
    """A plan from the measured time of a row, mixing included."""
    features, rows = len(servable.signature.features), len(servable.background)
    # A slow model is measured with few rows: that must be quick, too.
    one = servable.cost.call + servable.cost.row
    few = (
        int(min(rows, rows_per_call(features), plan.PLANNED_SECONDS / one if one else math.inf))
        or 1
    )
    taken, sources = np.zeros((few, features), np.bool_), np.arange(few)
    seconds = math.inf
    for _ in range(_MEASUREMENTS):
        started = perf_counter()
        mixed(taken, sources)
        seconds = min(seconds, perf_counter() - started)
        if seconds > plan.PLANNED_SECONDS:
            break
    seed = int(servable.artifact.onnx_sha256[:16], 16)
    return Plan.of(features, rows, seconds / few, seed)


def _exactly(
    servable: Servable, output: Output, linear: Linear, row: Row, values: Sequence[Value | None]
) -> Explanation:
    record, rows = (table(servable.signature, each) for each in ([row], servable.background))
    contributions = linear.contributions(record[0], rows)
    return Explanation(
        output.name,
        "value" if output.label is None else "log_odds",
        "linear",
        Baseline(len(rows), float(linear.scores(rows).mean()), "background"),
        float(linear.scores(record)[0]),
        largest_first(_names(servable), values, contributions, np.zeros(len(contributions))),
        0,
    )


def _names(servable: Servable) -> list[str]:
    return [feature.name for feature in servable.signature.features]


def _values(servable: Servable, body: bytes) -> list[Value | None]:
    """The values of a body that is a valid record: not rounded; None for a missing value."""
    record = msgspec.json.decode(body)
    given = ((record.get(each.name), each) for each in servable.signature.features)
    return [None if value is None else parse_value(value, feature) for value, feature in given]
