"""The catalogue of candidates for each task: estimators and the search spaces of their parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy.stats import loguniform
from skl2onnx.sklapi import CastTransformer
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ParameterSampler
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR

from exporters.metrics import Task
from trainer.errors import TrainerError
from trainer.preparation import preparation
from trainer.table import Column

# Its time grows with the square of the rows; with more, it is trained only if it is named.
MAX_ROWS_OF_SUPPORT_VECTOR_MACHINE = 10_000
# LightGBM, and what converts it to ONNX.
LIGHTGBM_PACKAGES = ("lightgbm", "onnxmltools")


@dataclass(frozen=True)
class Candidate:
    """A kind of model: an estimator made from a seed, and a parameter space.

    `space` maps a pipeline parameter to a list of values or a scipy distribution. `scaled` estimators get
    scaled numbers. `float32` ones compare in float64, and their thresholds can be training values: without a
    cast, such a value and the float32 that a server is sent for it fall on different sides.
    """

    name: str
    title: str
    estimator: Callable[[int], Any]
    space: Mapping[str, Any]
    step: str = "classify"
    scaled: bool = False
    float32: bool = False

    def build(self, seed: int, columns: Sequence[Column] = ()) -> Pipeline:
        """The pipeline for a table's columns; without columns, for numbers of which none is missing."""
        steps: list[tuple[str, Any]] = [*preparation(columns, scaled=self.scaled)]
        if self.float32:
            steps.append(("cast", CastTransformer(dtype=np.float32)))
        return Pipeline([*steps, (self.step, self.estimator(seed))])

    def sample(self, trials: int, seed: int) -> list[dict[str, Any]]:
        """`trials` points of the space, the same for the same seed, as plain Python values."""
        points = ParameterSampler(dict(self.space), trials, random_state=seed)
        return [{name: plain(value) for name, value in point.items()} for point in points]


def catalogue(task: Task, spread: float = 1.0) -> dict[str, Candidate]:
    """The candidates for a task, by name; LightGBM only where it is installed.

    `spread` is the standard deviation of a regression's target.
    """
    candidates = [*(_regressors(spread) if task == "regression" else _classifiers())]
    if all(find_spec(package) for package in LIGHTGBM_PACKAGES):
        candidates.append(_lightgbm("regress" if task == "regression" else "classify"))
    return {candidate.name: candidate for candidate in candidates}


def choose(
    names: Sequence[str] | None = None, task: Task = "binary", spread: float = 1.0
) -> tuple[Candidate, ...]:
    """The task's candidates with these names, without duplicates, in this order; by default all.

    Raises TrainerError for a name that is not in the catalogue.
    """
    known = catalogue(task, spread)
    for name in names or ():
        if name not in known:
            raise TrainerError(
                f"there is no candidate {name!r} for this task ({task}); "
                f"choose from {', '.join(known)}"
            )
    return tuple(known[name] for name in dict.fromkeys(names or known))


def plain(value: Any) -> Any:
    """Round to three significant digits, which is enough for a search and readable in tables."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _classifiers() -> tuple[Candidate, ...]:
    return (
        Candidate(
            "logistic_regression",
            "Logistic regression",
            lambda seed: LogisticRegression(max_iter=1000, random_state=seed),
            {"classify__C": loguniform(1e-2, 1e2), "classify__class_weight": [None, "balanced"]},
            scaled=True,
        ),
        Candidate(
            "random_forest",
            "Random forest",
            lambda seed: RandomForestClassifier(random_state=seed),
            _forest_space("classify", ["sqrt", 0.3]),
        ),
        Candidate(
            "hist_gradient_boosting",
            "Histogram gradient boosting",
            lambda seed: HistGradientBoostingClassifier(random_state=seed),
            _boosting_space("classify"),
            float32=True,
        ),
        Candidate(
            "support_vector_machine",
            "Support vector machine",
            # One machine and one sigmoid: what SVC(probability=True) did before scikit-learn deprecated it.
            lambda seed: CalibratedClassifierCV(SVC(random_state=seed), ensemble=False),
            {
                # A support vector weighs up to C. ONNX Runtime adds them up in float32, and from about
                # 50 on, that moves the fifth decimal of a probability.
                "classify__estimator__C": loguniform(1e-1, 10),
                "classify__estimator__gamma": loguniform(3e-3, 1e-1),
            },
            scaled=True,
        ),
        Candidate(
            "multilayer_perceptron",
            "Multilayer perceptron",
            lambda seed: MLPClassifier(max_iter=2000, random_state=seed),
            _perceptron_space("classify"),
            scaled=True,
        ),
    )


def _regressors(spread: float) -> tuple[Candidate, ...]:
    return (
        Candidate(
            "ridge",
            "Ridge regression",
            lambda seed: Ridge(random_state=seed),
            {"regress__alpha": loguniform(1e-2, 1e3)},
            step="regress",
            scaled=True,
        ),
        Candidate(
            "random_forest",
            "Random forest",
            lambda seed: RandomForestRegressor(random_state=seed),
            _forest_space("regress", [1.0, 0.3]),
            step="regress",
        ),
        Candidate(
            "hist_gradient_boosting",
            "Histogram gradient boosting",
            lambda seed: HistGradientBoostingRegressor(random_state=seed),
            _boosting_space("regress"),
            step="regress",
            float32=True,
        ),
        Candidate(
            "support_vector_machine",
            "Support vector machine",
            # Both are in the target's unit. A larger C moves the sixth digit of ONNX Runtime's float32 sum.
            lambda _: SVR(epsilon=0.05 * spread),
            {
                "regress__C": loguniform(0.03 * spread, 3 * spread),
                "regress__gamma": loguniform(3e-3, 1e-1),
            },
            step="regress",
            scaled=True,
        ),
        Candidate(
            "multilayer_perceptron",
            "Multilayer perceptron",
            lambda seed: MLPRegressor(max_iter=2000, random_state=seed),
            _perceptron_space("regress"),
            step="regress",
            scaled=True,
        ),
    )


def _lightgbm(step: str) -> Candidate:
    def build(seed: int) -> Any:
        import lightgbm  # takes a second, and is an extra

        kind = lightgbm.LGBMRegressor if step == "regress" else lightgbm.LGBMClassifier
        return kind(random_state=seed, n_jobs=1, verbose=-1)

    return Candidate(
        "lightgbm",
        "LightGBM",
        build,
        {
            f"{step}__learning_rate": loguniform(0.03, 0.3),
            f"{step}__n_estimators": [50, 100, 200],
            f"{step}__num_leaves": [7, 15, 31],
            f"{step}__min_child_samples": [5, 10, 20],
        },
        step=step,
        float32=True,
    )


def _forest_space(step: str, max_features: list[Any]) -> dict[str, Any]:
    return {
        f"{step}__n_estimators": [100, 200],
        f"{step}__max_depth": [None, 4, 8],
        f"{step}__min_samples_leaf": [1, 2, 4],
        f"{step}__max_features": max_features,
    }


def _boosting_space(step: str) -> dict[str, Any]:
    return {
        f"{step}__learning_rate": loguniform(0.03, 0.3),
        f"{step}__max_iter": [50, 100, 200],
        f"{step}__max_leaf_nodes": [7, 15, 31],
        f"{step}__l2_regularization": loguniform(1e-3, 10),
    }


def _perceptron_space(step: str) -> dict[str, Any]:
    return {
        f"{step}__hidden_layer_sizes": [(16,), (32,), (32, 16)],
        f"{step}__alpha": loguniform(1e-4, 10),
        f"{step}__learning_rate_init": loguniform(1e-3, 1e-2),
    }


CATALOGUE = catalogue("binary")
NAMES = tuple(dict.fromkeys([*CATALOGUE, *catalogue("regression")]))
