"""The catalogue of candidates: pipelines and the search spaces of their parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import loguniform
from skl2onnx.sklapi import CastTransformer
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterSampler
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainer.errors import TrainerError


@dataclass(frozen=True)
class Candidate:
    """A kind of model: builds its pipeline from a seed, and has a parameter space.

    `space` maps a pipeline parameter to a list of values or a scipy distribution.
    """

    name: str
    title: str
    build: Callable[[int], Pipeline]
    space: Mapping[str, Any]

    def sample(self, trials: int, seed: int) -> list[dict[str, Any]]:
        """`trials` points of the space, the same for the same seed, as plain Python values."""
        points = ParameterSampler(dict(self.space), trials, random_state=seed)
        return [{name: _plain(value) for name, value in point.items()} for point in points]


def choose(names: Sequence[str] | None = None) -> tuple[Candidate, ...]:
    """The candidates with these names, without duplicates, in this order; by default all.

    Raises TrainerError for a name that is not in the catalogue.
    """
    for name in names or ():
        if name not in CATALOGUE:
            raise TrainerError(
                f"there is no candidate {name!r}; choose from {', '.join(CATALOGUE)}"
            )
    return tuple(CATALOGUE[name] for name in dict.fromkeys(names or CATALOGUE))


def _logistic_regression(seed: int) -> Pipeline:
    return _scaled(LogisticRegression(max_iter=1000, random_state=seed))


def _random_forest(seed: int) -> Pipeline:
    return Pipeline([("classify", RandomForestClassifier(random_state=seed))])


def _hist_gradient_boosting(seed: int) -> Pipeline:
    # It compares in float64, and its thresholds can be training values. Without the cast, such a value
    # and the float32 that a server is given for it fall on different sides.
    classifier = HistGradientBoostingClassifier(random_state=seed)
    return Pipeline([("cast", CastTransformer(dtype=np.float32)), ("classify", classifier)])


def _support_vector_machine(seed: int) -> Pipeline:
    # One machine and one sigmoid: what SVC(probability=True) did before scikit-learn deprecated it.
    return _scaled(CalibratedClassifierCV(SVC(random_state=seed), ensemble=False))


def _multilayer_perceptron(seed: int) -> Pipeline:
    return _scaled(MLPClassifier(max_iter=2000, random_state=seed))


def _scaled(classifier: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("classify", classifier)])


def _plain(value: Any) -> Any:
    """Round to three significant digits, which is enough for a search and readable in tables."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.3g}") if isinstance(value, float) else value


CATALOGUE = {
    candidate.name: candidate
    for candidate in (
        Candidate(
            "logistic_regression",
            "Logistic regression",
            _logistic_regression,
            {"classify__C": loguniform(1e-2, 1e2), "classify__class_weight": [None, "balanced"]},
        ),
        Candidate(
            "random_forest",
            "Random forest",
            _random_forest,
            {
                "classify__n_estimators": [100, 200],
                "classify__max_depth": [None, 4, 8],
                "classify__min_samples_leaf": [1, 2, 4],
                "classify__max_features": ["sqrt", 0.3],
            },
        ),
        Candidate(
            "hist_gradient_boosting",
            "Histogram gradient boosting",
            _hist_gradient_boosting,
            {
                "classify__learning_rate": loguniform(0.03, 0.3),
                "classify__max_iter": [50, 100, 200],
                "classify__max_leaf_nodes": [7, 15, 31],
                "classify__l2_regularization": loguniform(1e-3, 10),
            },
        ),
        Candidate(
            "support_vector_machine",
            "Support vector machine",
            _support_vector_machine,
            {
                # A support vector weighs up to C. ONNX Runtime adds them up in float32, and from about
                # 50 on, that moves the fifth decimal of a probability.
                "classify__estimator__C": loguniform(1e-1, 10),
                "classify__estimator__gamma": loguniform(3e-3, 1e-1),
            },
        ),
        Candidate(
            "multilayer_perceptron",
            "Multilayer perceptron",
            _multilayer_perceptron,
            {
                "classify__hidden_layer_sizes": [(16,), (32,), (32, 16)],
                "classify__alpha": loguniform(1e-4, 10),
                "classify__learning_rate_init": loguniform(1e-3, 1e-2),
            },
        ),
    )
}
