"""Rows for a parity check: the dataset, random rows, and rows at the splits of trees."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skl2onnx.sklapi import CastTransformer

from exporters.trees import boundaries, round_down, trees


def parity_rows(pipeline: Any, dataset: pd.DataFrame, *, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The rows of `dataset`, float64 [N, F], with generated rows and rows at tree splits, by kind."""
    values = dataset.to_numpy(np.float64)
    kinds = {
        "dataset": values,
        "generated": generated_rows(values, seed=seed),
        "threshold": threshold_rows(pipeline, values, seed=seed),
    }
    return {kind: pd.DataFrame(rows, columns=dataset.columns) for kind, rows in kinds.items()}


def generated_rows(
    training: NDArray[np.float64], *, count: int = 1500, seed: int = 0
) -> NDArray[np.float64]:
    """`count` random rows [count, F] across, beyond and near the rows of `training` [N, F].

    A third is uniform over the training ranges, a third over twice those ranges, a third are training
    rows with each value changed by up to a tenth. Every value is a float32, as in the predictor.
    """
    random = np.random.default_rng(seed)
    low, high = training.min(axis=0), training.max(axis=0)
    reach = (high - low) / 2
    shape = (-(-count // 3), training.shape[1])
    near = training[random.integers(len(training), size=shape[0])]
    rows = np.concatenate(
        [
            random.uniform(low, high, shape),
            random.uniform(low - reach, high + reach, shape),
            near * random.uniform(0.9, 1.1, shape),
        ]
    )[:count]
    return rows.astype(np.float32).astype(np.float64)


def threshold_rows(
    pipeline: Any, training: NDArray[np.float64], *, splits: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Two rows for each tree split [2 * splits, F]: the neighbouring float32 values on its two sides.

    Each row is a training row that reaches the split, with only that feature changed. If there are more
    than `splits` splits, a sample is used. Empty for a pipeline that does not end in trees, and for one that
    changes features before them, because its thresholds are not in the features' units.
    """
    rows = training.astype(np.float32)
    empty = np.empty((0, rows.shape[1]))
    if not all(_keeps_units(step) for _, step in pipeline.steps[:-1]):
        return empty
    found = [each for tree in trees(pipeline.steps[-1][1]) for each in boundaries(tree, rows)]
    if not found:
        return empty
    random = np.random.default_rng(seed)
    picked = random.permutation(len(found))[:splits]
    return _both_sides(
        rows[[found[each].row for each in picked]],
        np.array([found[each].feature for each in picked]),
        np.array([found[each].threshold for each in picked]),
    )


def _keeps_units(step: Any) -> bool:
    return isinstance(step, CastTransformer) or step == "passthrough"


def _both_sides(
    rows: NDArray[np.float32], features: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    left, right = rows.copy(), rows.copy()
    at = np.arange(len(rows))
    left[at, features] = round_down(thresholds)
    right[at, features] = np.nextafter(left[at, features], np.float32(np.inf))
    return np.concatenate([left, right]).astype(np.float64)
