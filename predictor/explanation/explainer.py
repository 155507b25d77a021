"""Explainer: from a record's body to its answer and why it is that. It works in a thread."""

import math
from collections.abc import Sequence
from threading import Lock
from time import perf_counter
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from msgspec import UNSET

from predictor.computing import Run
from predictor.explanation import plan
from predictor.explanation.explained import Baseline, Explained, Explanation, largest_first
from predictor.explanation.explanation_errors import NoBackground
from predictor.explanation.linear import Linear, table
from predictor.explanation.mixed import Mixed
from predictor.explanation.output import Output
from predictor.explanation.plan import Plan
from predictor.explanation.sampling import rows_a_call, sample
from predictor.records.answers import Answer
from predictor.records.faults import settled
from predictor.servable import Servable
from predictor.signature import Row, Value

_MEASUREMENTS = 3  # of which the least counts: whatever else runs meanwhile only adds to it


class Explainer:
    """Explains the answers of whatever servable it is given; what it plans for one, it keeps."""

    def __init__(self) -> None:
        # By the servable, and no longer than it lives. Threads that come first wait for one of them.
        self._plans: WeakKeyDictionary[Servable, Plan] = WeakKeyDictionary()
        self._planning = Lock()

    def explain(self, body: bytes, servable: Servable, run: Run) -> bytes:
        """The body of the answer to one record: a `Work`, once the body is given.

        Raises RequestError, among them NoBackground and NotExplainable, and NotInTime.
        """
        if not servable.background:
            raise NoBackground
        row = servable.decoder.record(body)
        ((_, (answer,)),) = run([row])
        if isinstance(answer, Exception):
            raise answer
        output = Output.of(servable.signature, answer)
        values = _values(servable, body)
        if servable.linear is not None:
            explanation = _exactly(servable, output, servable.linear.of(output.label), row, values)
        else:
            explanation = self._by_sampling(servable, output, answer, row, values)
        version = servable.model_version
        return msgspec.json.encode(
            Explained(
                prediction=answer.prediction,
                probability=answer.probability,
                probabilities=answer.probabilities,
                outputs=answer.outputs,
                warnings=servable.ranges.outside([row]).get(0, UNSET),
                explanation=explanation,
                model_name=version.name,
                model_version=version.version,
            )
        )

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
        found = sample(mixed(plan.MOST_SECONDS), value, planned.ranks, planned.sources)
        return Explanation(
            output.name,
            "value" if output.label is None else "probability",
            "permutation",
            Baseline(len(planned.sources), found.baseline),
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
    """A plan by what a row takes here and now, mixing included."""
    features, rows = len(servable.signature.features), len(servable.background)
    # A slow model is tried with few rows: that must not take long either.
    one = servable.cost.call + servable.cost.row
    few = int(min(rows, rows_a_call(features), plan.SECONDS / one if one else math.inf)) or 1
    taken, sources = np.zeros((few, features), np.bool_), np.arange(few)
    seconds = math.inf
    for _ in range(_MEASUREMENTS):
        started = perf_counter()
        mixed(taken, sources)
        seconds = min(seconds, perf_counter() - started)
        if seconds > plan.SECONDS:
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
        Baseline(len(rows), float(linear.scores(rows).mean())),
        float(linear.scores(record)[0]),
        largest_first(_names(servable), values, contributions, np.zeros(len(contributions))),
        0,
    )


def _names(servable: Servable) -> list[str]:
    return [feature.name for feature in servable.signature.features]


def _values(servable: Servable, body: bytes) -> list[Value | None]:
    """The values that a body has, once it is known to be a record: unrounded; None where one is missing."""
    record = msgspec.json.decode(body)
    given = ((record.get(each.name), each) for each in servable.signature.features)
    return [None if value is None else settled(value, feature) for value, feature in given]
