"""LightGBM, XGBoost and CatBoost, each exported in the usual way.

The libraries are imported where a model is fitted: the smaller part of the table needs none of them.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from compatibility.cases import Answers, Case, Export, labelled, valued
from compatibility.tables import GAPS, PLAIN, TESTED_ROWS, mixed
from exporters.converters import register_converters

_SMALL = {"n_estimators": 10, "random_state": 0}
_SAVED = 'save_model(format="onnx")'
Converter = Callable[[Any, int, dict[str, Any]], Any]


def cases() -> Iterator[Case]:
    """Each estimator of each library, with and without gaps, signature and ZipMap."""
    yield from _lightgbm()
    yield from _xgboost()
    yield from _catboost()


def _lightgbm() -> Iterator[Case]:
    bagged = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    kinds: dict[str, dict[str, Any]] = {
        "LGBMClassifier": {},
        "LGBMClassifier (dart)": {"boosting_type": "dart"},
        "LGBMClassifier (rf)": bagged,
        "LGBMRegressor": {},
        "LGBMRegressor (poisson)": {"objective": "poisson"},
        "LGBMRegressor (quantile)": {"objective": "quantile"},
        "LGBMRanker": {},
    }
    for name, settings in kinds.items():
        chosen = {**_SMALL, "verbose": -1, "min_child_samples": 5, **settings}
        made = partial(_made, "lightgbm", name.split()[0], chosen)
        yield from _variants("LightGBM", name, made, _by_onnxmltools)
    yield _skl2onnx("LightGBM", "LGBMClassifier", "bits")
    yield _skl2onnx("LightGBM", "LGBMRegressor", "number")


def _xgboost() -> Iterator[Case]:
    kinds: dict[str, dict[str, Any]] = {
        "XGBClassifier": {},
        "XGBClassifier (dart)": {"booster": "dart"},
        "XGBClassifier (base_score)": {"base_score": 0.25},
        "XGBRFClassifier": {},
        "XGBRegressor": {},
        "XGBRegressor (poisson)": {"objective": "count:poisson"},
        "XGBRegressor (gamma)": {"objective": "reg:gamma"},
        "XGBRFRegressor": {},
        "XGBRanker": {},
    }
    for name, settings in kinds.items():
        chosen = {**_SMALL, "n_jobs": 1, **settings}
        made = partial(_made, "xgboost", name.split()[0], chosen)
        yield from _variants("XGBoost", name, made, _by_onnxmltools)
    yield _skl2onnx("XGBoost", "XGBClassifier", "bits")
    yield _skl2onnx("XGBoost", "XGBRegressor", "number")


def _catboost() -> Iterator[Case]:
    settings = {"iterations": 10, "verbose": 0, "allow_writing_files": False, "random_seed": 0}
    for kind in ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"):
        made = partial(_made, "catboost", kind, settings)
        yield from _variants("CatBoost", kind, made, _by_catboost)
    several = partial(
        _made, "catboost", "CatBoostRegressor", {**settings, "loss_function": "MultiRMSE"}
    )
    classifier = partial(_made, "catboost", "CatBoostClassifier", settings)
    for name, made, target, words in (
        ("CatBoostRegressor (MultiRMSE)", several, PLAIN.numbers, "4 floats, 2 targets"),
        ("CatBoostClassifier", classifier, PLAIN.words, "4 floats, 3 text classes"),
        ("CatBoostClassifier", classifier, PLAIN.bits.astype(bool), "4 floats, boolean classes"),
    ):
        for signature in ("none", "of a frame"):
            build = partial(
                _boosted, made, _by_catboost, PLAIN.frame, target, signed=signature != "none"
            )
            yield Case("CatBoost", name, _SAVED, signature, words, build)


def _variants(
    library: str, name: str, made: Callable[[], Any], convert: Converter
) -> Iterator[Case]:
    """Variants: signature, gaps, number of classes, and ZipMap if it can be switched off."""
    how = _SAVED if convert is _by_catboost else "onnxmltools"
    for words, frame, target in _tables(name):
        gaps = "gaps" in words
        for signed in (
            (True,) if gaps else (False, True)
        ):  # only a signature says that a value may be missing
            options = {}
            if signed and library == "LightGBM" and "Classifier" in name:
                options = {"zipmap": False}
            signature = "of a frame" if signed else "none"
            yield Case(
                library, name, how + (", zipmap off" if options else ""),
                f"{signature}, optional columns" if gaps else signature, words,
                partial(_boosted, made, convert, frame, target, signed=signed, **options),
            )  # fmt: skip


def _tables(name: str) -> list[tuple[str, Any, Any]]:
    dummies = pd.get_dummies(mixed()[["fare", "port"]])
    if "Classifier" in name:
        return [
            ("4 floats, 2 number classes", PLAIN.frame, PLAIN.bits),
            ("4 floats, 3 number classes", PLAIN.frame, _numbered(PLAIN.words)),
            ("4 floats with gaps, 2 number classes", GAPS.frame, GAPS.bits),
            ("4 floats with gaps, 3 number classes", GAPS.frame, _numbered(GAPS.words)),
            ("pd.get_dummies: 1 float, 3 booleans", dummies, PLAIN.bits),
        ]
    number, gaps = PLAIN.number, GAPS.number
    if "Ranker" in name:
        number, gaps = (2 * number).astype(int), (2 * gaps).astype(int)
    return [
        ("4 floats", PLAIN.frame, number),
        ("4 floats with gaps", GAPS.frame, gaps),
        ("pd.get_dummies: 1 float, 3 booleans", dummies, number),
    ]


def _numbered(words: Any) -> Any:
    return np.unique(words.astype(str), return_inverse=True)[1]


def _made(module: str, name: str, settings: dict[str, Any]) -> Any:
    return getattr(import_module(module), name)(**settings)


def _boosted(
    made: Callable[[], Any], convert: Converter, frame: pd.DataFrame, target: Any,
    *, signed: bool, **options: Any,
) -> Export:  # fmt: skip
    model, array = made(), frame.to_numpy(np.float32, copy=True)
    groups = _groups(model, len(array))
    model.fit(array, target, **groups)
    graph = convert(model, array.shape[1], options)
    rows = array[:TESTED_ROWS]
    tested = frame.head(TESTED_ROWS)
    if not signed:
        tested = pd.DataFrame(rows, columns=[f"feature_{i}" for i in range(rows.shape[1])])
    answers = _answers(model, rows)
    signature = infer_signature(frame, np.asarray(answers.predictions)) if signed else None
    name = graph.graph.input[0].name
    return Export(graph.SerializeToString(), tested, {name: rows}, answers, signature)


def _groups(model: Any, rows: int) -> dict[str, Any]:
    """Additional arguments of rankers: the number of rows per query."""
    named = type(model).__name__
    if named == "LGBMRanker":
        return {"group": [rows // 3] * 3}
    if named in {"XGBRanker", "CatBoostRanker"}:
        return {"qid" if named == "XGBRanker" else "group_id": np.arange(rows) // (rows // 3)}
    return {}


def _answers(model: Any, rows: Any) -> Answers:
    return labelled(model, rows) if hasattr(model, "predict_proba") else valued(model.predict(rows))


def _by_onnxmltools(model: Any, width: int, options: dict[str, Any]) -> Any:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    kind = "xgboost" if type(model).__name__.startswith("XGB") else "lightgbm"
    types = [("input", FloatTensorType([None, width]))]
    convert = getattr(onnxmltools, f"convert_{kind}")
    return convert(model, initial_types=types, target_opset=15, **options)


def _by_catboost(model: Any, _: int, __: dict[str, Any]) -> Any:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return onnx.load(str(path))


def _skl2onnx(library: str, name: str, target: str) -> Case:
    """The model in a scikit-learn pipeline, with onnxmltools' converter for skl2onnx."""
    how = "skl2onnx, onnxmltools' converter registered"
    build = partial(_in_a_pipeline, library, name, target)
    return Case(library, f"StandardScaler, {name}", how, "of a frame", "4 floats", build)


def _in_a_pipeline(library: str, name: str, target: str) -> Export:
    own = {"verbose": -1} if library == "LightGBM" else {"n_jobs": 1}
    model = _made(library.lower(), name, {**_SMALL, **own})
    register_converters([model])
    fitted = make_pipeline(StandardScaler(), model).fit(PLAIN.frame, getattr(PLAIN, target))
    rows = PLAIN.frame.head(TESTED_ROWS)
    graph = to_onnx(fitted, rows[:1], target_opset={"": 15, "ai.onnx.ml": 2})
    feed = {
        port.name: rows[[column]].to_numpy(np.float32)
        for port, column in zip(graph.graph.input, rows.columns, strict=True)
    }
    answers = _answers(fitted, rows)
    signature = infer_signature(PLAIN.frame, np.asarray(answers.predictions))
    return Export(graph.SerializeToString(), rows, feed, answers, signature)
