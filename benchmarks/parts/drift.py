"""The cost of counting rows by bin of the training data: the predictor with it, and without."""

from dataclasses import dataclass

from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import CONNECTIONS, Rounds, interleaved
from benchmarks.parts.traces import full_predictor
from benchmarks.registry import publish

OFF, ON = "no features counted", "all features counted by bin"


@dataclass(frozen=True)
class Drift:
    """Rounds by number of connections, then by configuration."""

    loads: dict[int, Rounds]


def run(context: BenchContext) -> Drift:
    """Measure the logistic regression of 30 features; without counts is the default."""
    context.print_step("Drift")
    published = publish(context.mlflow_url, context.folder, "counted", [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        subjects = {
            OFF: full_predictor(scope, published, OFF, {}),
            ON: full_predictor(scope, published, ON, {"PREDICTOR_DRIFT_FEATURES": "200"}),
        }
        return Drift(interleaved(context.plan.brief, subjects, CONNECTIONS))
