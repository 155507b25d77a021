"""How the cost grows with connections, features and the model's size, beside the empty application."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.models import FOREST, LOGISTIC, Model, diagnosis, synthetic
from benchmarks.parts.http import Rounds, interleaved
from benchmarks.registry import Published, publish
from benchmarks.servers import EMPTY, PREDICTOR
from benchmarks.stage import Stage

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FEATURES = (30, 300, 3_000)
TREES = (10, 100, 300, 1_000)
_USUAL_CONNECTIONS = 32


@dataclass(frozen=True)
class Point:
    """One size, in the unit of its axis, and the rounds of both servers at it."""

    size: float
    rounds: Rounds


@dataclass(frozen=True)
class Growth:
    """One axis: what was made larger, and what came of it."""

    axis: str
    points: list[Point]


def run(stage: Stage) -> list[Growth]:
    """Three axes; rows are the batches' own part."""
    stage.say("Growth: connections, features, model size")
    return [
        Growth("connections", _connections(stage)),
        Growth("features", [_features(stage, features) for features in FEATURES]),
        Growth("model size, MB", [_trees(stage, trees) for trees in TREES]),
    ]


def _connections(stage: Stage) -> list[Point]:
    loads = _loads(stage, "connections", diagnosis(LOGISTIC), CONNECTIONS)[1]
    return [Point(connections, rounds) for connections, rounds in loads.items()]


def _features(stage: Stage, features: int) -> Point:
    model = synthetic(features)
    _, loads = _loads(stage, f"features {features}", model, [_USUAL_CONNECTIONS])
    return Point(features, loads[_USUAL_CONNECTIONS])


def _trees(stage: Stage, trees: int) -> Point:
    model = diagnosis(FOREST, classify__n_estimators=trees)
    published, loads = _loads(stage, f"trees {trees}", model, [_USUAL_CONNECTIONS])
    return Point(published.files[0].stat().st_size / 1e6, loads[_USUAL_CONNECTIONS])


def _loads(
    stage: Stage, title: str, model: Model, connections: Iterable[int]
) -> tuple[Published, dict[int, Rounds]]:
    published = publish(stage.mlflow_url, stage.folder, title, [model])
    with stage.scene() as scene:
        subjects = {
            EMPTY: servers.empty(scene, published),
            PREDICTOR: servers.predictor(scene, published),
        }
        return published, interleaved(scene.plan.brief, subjects, connections)
