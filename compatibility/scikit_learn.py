"""Every scikit-learn estimator that skl2onnx converts, exported in both usual ways."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from compatibility.cases import Answers, Case, Export, labelled, valued
from compatibility.tables import GAPS, PLAIN, POSITIVE, TESTED_ROWS, Table

LIBRARY = "scikit-learn"
_case = partial(Case, LIBRARY)
OPSETS = {"": 18, "ai.onnx.ml": 3}
# The inner estimators of meta-estimators.
INNER: dict[str, dict[str, Any]] = {
    "ClassifierChain": {"estimator": LogisticRegression()},
    "FixedThresholdClassifier": {"estimator": LogisticRegression()},
    "GridSearchCV": {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}},
    "MultiOutputClassifier": {"estimator": LogisticRegression()},
    "OneVsOneClassifier": {"estimator": LogisticRegression()},
    "OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier": {"estimator": LogisticRegression()},
    "RandomizedSearchCV": {
        "estimator": LogisticRegression(), "param_distributions": {"C": [0.1, 1.0]}, "n_iter": 2,
    },
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "StackingClassifier": {
        "estimators": [("tree", DecisionTreeClassifier(max_depth=3)), ("knn", KNeighborsClassifier())]
    },
    "TunedThresholdClassifierCV": {"estimator": LogisticRegression()},
    "VotingClassifier": {
        "estimators": [("tree", DecisionTreeClassifier(max_depth=3)), ("line", LogisticRegression())],
        "voting": "soft", "flatten_transform": False,
    },
    "MultiOutputRegressor": {"estimator": LinearRegression()},
    "RegressorChain": {"estimator": LinearRegression()},
    "StackingRegressor": {
        "estimators": [("tree", DecisionTreeRegressor(max_depth=3)), ("line", LinearRegression())]
    },
    "VotingRegressor": {
        "estimators": [("tree", DecisionTreeRegressor(max_depth=3)), ("line", LinearRegression())]
    },
}  # fmt: skip
_SEVERAL_TARGETS = ("Multi", "Chain", "CCA", "PLS")
SMALLER = {"n_estimators": 10, "max_iter": 300, "random_state": 0}
_QUICK = {
    "HistGradientBoostingClassifier", "IsolationForest", "KMeans", "KNeighborsClassifier", "LinearRegression",
    "LinearSVC", "LogisticRegression", "MLPClassifier", "PLSRegression", "RandomForestClassifier", "SVC",
}  # fmt: skip
_WITHOUT_ZIPMAP = {"LinearSVC"}


def cases() -> Iterator[Case]:
    """All estimators in both ways, then special cases."""
    for kind in ("classifier", "regressor", "cluster", "transformer"):
        for name, estimator in all_estimators(kind):
            if kind == "transformer" and hasattr(estimator, "predict"):
                continue
            if (made := _made(name, estimator)) is not None:
                yield from _both_ways(name, made, kind)
    for detector in (
        IsolationForest(n_estimators=10, random_state=0), LocalOutlierFactor(novelty=True),
        EllipticEnvelope(random_state=0),
    ):  # fmt: skip
        yield from _both_ways(type(detector).__name__, detector, "outliers")
    yield from _options()
    yield from _several_targets()
    yield from _missing_values()


def _made(name: str, estimator: type[Any]) -> Any:
    try:
        made = estimator(**INNER.get(name, {}))
    except TypeError:  # it needs an inner estimator of another kind
        return None
    known = made.get_params()
    return made.set_params(**{key: value for key, value in SMALLER.items() if key in known})


def _both_ways(name: str, estimator: Any, kind: str) -> Iterator[Case]:
    several = name.startswith(_SEVERAL_TARGETS) or "Chain" in name
    quick = name in _QUICK
    if kind == "classifier" and not several:
        options: dict[str, Any] = {} if name in _WITHOUT_ZIPMAP else {"zipmap": False}
        yield _case(name, f"to_onnx of an array{', zipmap off' if options else ''}", "none",
                    "4 floats, 3 text classes", partial(_array, estimator, kind, "words", **options), quick)  # fmt: skip
        yield _case(name, "to_onnx of a frame, behind a scaler", "of a frame", "4 floats, 2 number classes",
                    partial(_columns, estimator, kind, "bits"), quick)  # fmt: skip
        return
    target = {"classifier": "pairs", "regressor": "number"}.get(kind, "number")
    if several:
        target = "pairs" if kind == "classifier" else "numbers"
    yield _case(name, "to_onnx of an array", "none", "4 floats",
                partial(_array, estimator, kind, target), quick)  # fmt: skip
    if kind != "transformer":
        yield _case(name, "to_onnx of a frame, behind a scaler", "of a frame", "4 floats",
                    partial(_columns, estimator, kind, target), quick)  # fmt: skip


def _fitted(
    estimator: Any, target: str, table: Table | None, kind: str = "array"
) -> tuple[Any, Table]:
    """A fitted clone; with non-negative values if the estimator requires them."""
    tables = [table] if table else [PLAIN, POSITIVE]
    for tried in tables:
        try:
            return clone(estimator).fit(getattr(tried, kind), getattr(tried, target)), tried
        except ValueError as error:
            if tried is tables[-1] or not re.search("egative|positive", str(error)):
                raise
    raise AssertionError


def _answers(model: Any, kind: str, rows: Any) -> Answers:
    if kind == "classifier":
        return labelled(model, rows)
    if kind == "transformer":
        return valued(model.transform(rows))
    if kind in {"cluster", "outliers"}:
        return Answers(np.asarray(model.predict(rows)).tolist())
    return valued(model.predict(rows))


def _array(
    estimator: Any, kind: str, target: str, table: Table | None = None,
    dtype: Any = np.float32, **options: Any,
) -> Export:  # fmt: skip
    """Fit on an array, and export as one tensor without a signature."""
    model, used = _fitted(estimator, target, table)
    rows = used.array[:TESTED_ROWS].astype(dtype)
    graph = to_onnx(
        model, rows[:1], target_opset=OPSETS, options={id(model): options} if options else None
    )
    named = pd.DataFrame(rows, columns=[f"feature_{i}" for i in range(rows.shape[1])])
    (port,) = graph.graph.input
    answers = _answers(model, kind, rows)
    return Export(graph.SerializeToString(), named, {port.name: rows}, answers)


def _columns(
    estimator: Any, kind: str, target: str, table: Table | None = None, **options: Any
) -> Export:
    """Fit on a frame behind a scaler, and export with one input per column and the frame's signature."""
    # Most pipelines begin with a scaler; it also joins the columns, and keeps gaps.
    model, used = _fitted(make_pipeline(MinMaxScaler(), estimator), target, table, "frame")
    rows = used.frame.head(TESTED_ROWS)
    graph = to_onnx(
        model, rows[:1], target_opset=OPSETS, options={id(model): options} if options else None
    )
    feed = {
        port.name: rows[[column]].to_numpy(np.float32)
        for port, column in zip(graph.graph.input, rows.columns, strict=True)
    }
    answers = _answers(model, kind, rows)
    signature = infer_signature(used.frame, np.asarray(answers.predictions))
    return Export(graph.SerializeToString(), rows, feed, answers, signature)


def _options() -> Iterator[Case]:
    """Other converter options, and float64 inputs."""
    line = LogisticRegression()
    exported: list[tuple[Any, str, str, dict[str, Any]]] = [
        (line, "zipmap on", "words", {}),
        (line, "zipmap='columns'", "words", {"zipmap": "columns"}),
        (line, "output_class_labels", "words", {"zipmap": False, "output_class_labels": True}),
        (line, "nocl", "bits", {"zipmap": False, "nocl": True}),
        (line, "raw_scores", "words", {"zipmap": False, "raw_scores": True}),
        (LinearSVC(), "raw_scores", "words", {"raw_scores": True}),
        (SVC(probability=False), "raw_scores", "words", {"raw_scores": True}),
        (SGDClassifier(loss="hinge"), "raw_scores", "bits", {"raw_scores": True}),
        (MLPClassifier(max_iter=300), "zipmap on", "words", {}),
        (RandomForestClassifier(10), "decision_path", "words", {"zipmap": False, "decision_path": True}),
        (DecisionTreeClassifier(), "decision_leaf", "words", {"zipmap": False, "decision_leaf": True}),
        (KNeighborsClassifier(), "optim='cdist'", "words", {"zipmap": False, "optim": "cdist"}),
        (GaussianProcessClassifier(), "optim='cdist'", "bits", {"zipmap": False, "optim": "cdist"}),
    ]  # fmt: skip
    for model, words, target, options in exported:
        yield _case(type(model).__name__, f"to_onnx of an array, {words}", "none", "4 floats",
                    partial(_array, model, "classifier", target, **options), model is line)  # fmt: skip
    for model, words, kind, options in (
        (IsolationForest(n_estimators=10), "score_samples", "outliers", {"score_samples": True}),
        (LocalOutlierFactor(novelty=True), "score_samples", "outliers", {"score_samples": True}),
        (GaussianProcessRegressor(), "return_std", "regressor", {"return_std": True}),
        (KNeighborsRegressor(), "optim='cdist'", "regressor", {"optim": "cdist"}),
    ):
        yield _case(type(model).__name__, f"to_onnx of an array, {words}", "none", "4 floats",
                    partial(_array, model, kind, "number", **options), kind == "outliers")  # fmt: skip
    for model, kind, target in (
        (LogisticRegression(), "classifier", "words"), (LinearRegression(), "regressor", "number"),
        (MLPRegressor(max_iter=300), "regressor", "number"), (KMeans(3), "cluster", "number"),
        (RandomForestClassifier(10), "classifier", "words"), (SVC(), "classifier", "words"),
    ):  # fmt: skip
        yield _case(type(model).__name__, "to_onnx of an array of doubles", "none", "4 doubles",
                    partial(_array, model, kind, target, dtype=np.float64))  # fmt: skip


def _several_targets() -> Iterator[Case]:
    """Graphs with several answers per row."""
    classifiers = (
        DecisionTreeClassifier(max_depth=4), RandomForestClassifier(10), KNeighborsClassifier(),
        MLPClassifier(max_iter=300), MultiOutputClassifier(RandomForestClassifier(5)),
        ClassifierChain(LogisticRegression()),
    )  # fmt: skip
    regressors = (
        LinearRegression(), DecisionTreeRegressor(max_depth=4), RandomForestRegressor(10),
        KNeighborsRegressor(), MLPRegressor(max_iter=300), RegressorChain(LinearRegression()),
        MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=10)),
    )  # fmt: skip
    for model in classifiers:
        named = type(model).__name__
        yield _case(named, "to_onnx of an array, zipmap off", "none", "4 floats, 2 labels a row",
                    partial(_array, model, "classifier", "pairs", zipmap=False), "Chain" not in named)  # fmt: skip
        yield _case(named, "to_onnx of a frame, behind a scaler, zipmap off", "of a frame", "4 floats, 2 labels a row",
                    partial(_columns, model, "classifier", "pairs", zipmap=False))  # fmt: skip
    for model in regressors:
        named = type(model).__name__
        yield _case(named, "to_onnx of an array", "none", "4 floats, 2 targets",
                    partial(_array, model, "regressor", "numbers"))  # fmt: skip
        yield _case(named, "to_onnx of a frame, behind a scaler", "of a frame", "4 floats, 2 targets",
                    partial(_columns, model, "regressor", "numbers"), "Chain" not in named)  # fmt: skip


def _missing_values() -> Iterator[Case]:
    """Rows with gaps; the frame's signature makes the features optional."""
    for model, kind, target in (
        (HistGradientBoostingClassifier(max_iter=10), "classifier", "bits"),
        (HistGradientBoostingClassifier(max_iter=10), "classifier", "words"),
        (HistGradientBoostingRegressor(max_iter=10), "regressor", "number"),
        (RandomForestClassifier(10, random_state=0), "classifier", "words"),
        (RandomForestRegressor(10, random_state=0), "regressor", "number"),
        (DecisionTreeClassifier(max_depth=4), "classifier", "bits"),
        (DecisionTreeRegressor(max_depth=4), "regressor", "number"),
    ):
        yield _case(type(model).__name__, "to_onnx of a frame, behind a scaler", "of a frame, optional columns",
                    f"4 floats with gaps, {target}",
                    partial(_columns, model, kind, target, GAPS), "Hist" in type(model).__name__)  # fmt: skip
