"""How cost grows with connections, features and model size, compared with the empty application."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.models import FOREST, LOGISTIC, Model, diagnosis, synthetic
from benchmarks.parts.http import Rounds, interleaved
from benchmarks.registry import Published, publish
from benchmarks.servers import EMPTY, PREDICTOR

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FEATURES = (30, 300, 3_000)
TREES = (10, 100, 300, 1_000)
_USUAL_CONNECTIONS = 32


@dataclass(frozen=True)
class Point:
    """One size, in the axis's unit, and the rounds of both servers with it."""

    size: float
    rounds: Rounds


@dataclass(frozen=True)
class Growth:
    """The measurements along one axis."""

    axis: str
    points: list[Point]


def run(context: BenchContext) -> list[Growth]:
    """Measure three axes; the part `batch` measures rows."""
    context.print_step("Growth: connections, features, model size")
    return [
        Growth("connections", _connections(context)),
        Growth("features", [_features(context, features) for features in FEATURES]),
        Growth("model size, MB", [_trees(context, trees) for trees in TREES]),
    ]


def _connections(context: BenchContext) -> list[Point]:
    loads = _loads(context, "connections", diagnosis(LOGISTIC), CONNECTIONS)[1]
    return [Point(connections, rounds) for connections, rounds in loads.items()]


def _features(context: BenchContext, features: int) -> Point:
    model = synthetic(features)
    _, loads = _loads(context, f"features {features}", model, [_USUAL_CONNECTIONS])
    return Point(features, loads[_USUAL_CONNECTIONS])


def _trees(context: BenchContext, trees: int) -> Point:
    model = diagnosis(FOREST, classify__n_estimators=trees)
    published, loads = _loads(context, f"trees {trees}", model, [_USUAL_CONNECTIONS])
    return Point(published.files[0].stat().st_size / 1e6, loads[_USUAL_CONNECTIONS])


def _loads(
    context: BenchContext, title: str, model: Model, connections: Iterable[int]
) -> tuple[Published, dict[int, Rounds]]:
    published = publish(context.mlflow_url, context.folder, title, [model])
    with context.scope() as scope:
        subjects = {
            EMPTY: servers.empty(scope, published),
            PREDICTOR: servers.predictor(scope, published),
        }
        return published, interleaved(scope.plan.brief, subjects, connections)
