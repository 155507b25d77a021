"""Tree splits, and thresholds that give the same comparisons in float32 as in float64.

A served row is float32. scikit-learn compares it with float64 thresholds, ONNX with float32 ones. If a
threshold is rounded up, a float32 value just above it takes the wrong branch.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAF = -1


@dataclass(frozen=True)
class Tree:
    """One decision tree as parallel arrays over its nodes; node 0 is the root, `left` is LEAF at leaves."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]


@dataclass(frozen=True)
class Boundary:
    """A split `feature <= threshold`, and the index of a row that reaches it."""

    feature: int
    threshold: float
    row: int


def trees(estimator: Any) -> Iterator[Tree]:
    """The trees of a fitted scikit-learn tree, forest or boosting; none for any other estimator."""
    if hasattr(estimator, "tree_"):
        yield _from_cython(estimator.tree_)
    # Gradient boosting keeps its trees in a 2-D array; members of other ensembles have no `tree_`.
    for member in np.ravel(np.asarray(getattr(estimator, "estimators_", []), dtype=object)):
        if hasattr(member, "tree_"):
            yield _from_cython(member.tree_)
    for nodes in _histogram_nodes(estimator):
        yield Tree(
            left=np.where(nodes["is_leaf"], LEAF, nodes["left"].astype(np.int64)),
            right=nodes["right"].astype(np.int64),
            feature=nodes["feature_idx"].astype(np.int64),
            threshold=nodes["num_threshold"],
        )


def boundaries(tree: Tree, rows: NDArray[np.float32]) -> Iterator[Boundary]:
    """Each split of `tree` that some of `rows`, float32 [N, F], reach.

    The returned row still reaches the split if its feature is set to the threshold, because the threshold
    is inside the range of the splits above.
    """
    pending = [(0, np.arange(len(rows)))]
    while pending:
        node, reaching = pending.pop()
        if tree.left[node] == LEAF or not reaching.size:
            continue
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        if np.isfinite(threshold):
            yield Boundary(feature, threshold, int(reaching[0]))
        to_left = rows[reaching, feature].astype(np.float64) <= threshold
        pending.append((int(tree.left[node]), reaching[to_left]))
        pending.append((int(tree.right[node]), reaching[~to_left]))


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each value. It compares with any float32 as the value does."""
    nearest = values.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > values, below, nearest)


def with_float32_thresholds(pipeline: Any) -> Any:
    """A copy of a fitted pipeline with float32 thresholds, and the same predictions for float32 rows.

    Only histogram gradient boosting needs this: skl2onnx rounds its thresholds to the nearest float32, but
    those of other trees down. Other pipelines are returned unchanged.
    """
    if not any(True for _ in _histogram_nodes(pipeline.steps[-1][1])):
        return pipeline
    rounded = copy.deepcopy(pipeline)
    for nodes in _histogram_nodes(rounded.steps[-1][1]):
        nodes["num_threshold"] = round_down(nodes["num_threshold"])
    return rounded


def _histogram_nodes(estimator: Any) -> Iterator[NDArray[Any]]:
    for iteration in getattr(estimator, "_predictors", []):
        for predictor in iteration:
            yield predictor.nodes


def _from_cython(tree: Any) -> Tree:
    return Tree(tree.children_left, tree.children_right, tree.feature, tree.threshold)
