"""scikit-learn pipelines for tables with categories, texts, gaps, booleans and unusual names."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from compatibility.cases import Case, Export, labelled, valued
from compatibility.scikit_learn import LIBRARY, OPSETS
from compatibility.tables import GAPS, PLAIN, TESTED_ROWS, mixed

_case = partial(Case, LIBRARY)
_TYPES = {"f": FloatTensorType, "i": Int64TensorType, "b": FloatTensorType, "O": StringTensorType}
_AWKWARD = {
    "names that begin with a digit": ["1stFlrSF", "2ndFlrSF", "3SsnPorch", "LotArea"],
    "names with blanks and units": ["mean radius", "area (cm²)", "blood-sugar", "%fat"],
    "names that differ in punctuation only": ["a b", "a_b", "a.b", "a-b"],
    "names that collide with renamed ones": ["_1st", "1st", "1st1", "x"],
    "names of no ASCII": ["größe", "年齢", "poids", "вес"],
}


def cases() -> Iterator[Case]:
    """Every pipeline."""
    yield from _scaled()
    yield from _categories()
    yield from _texts()
    yield from _gaps()
    yield from _names()
    yield from _booleans_and_integers()
    yield from _signatures()


def piped(
    model: Any, frame: pd.DataFrame, target: Any, *, signed: Any = None, example: bool = False,
    **options: Any,
) -> Export:  # fmt: skip
    """Fit on a frame, and export with one typed input per column."""
    fitted = model.fit(frame, target)
    types = []
    for name, dtype in frame.dtypes.items():
        kind = dtype.kind if dtype.kind in "fib" else "O"
        types.append((str(name), _TYPES[kind]([None, 1])))
    chosen = {id(fitted): options} if options else None
    graph = to_onnx(fitted, initial_types=types, target_opset=OPSETS, options=chosen)
    rows = frame.head(TESTED_ROWS)
    feed = {}
    for port, (name, dtype) in zip(graph.graph.input, frame.dtypes.items(), strict=True):
        kinds = {"f": np.float32, "b": np.float32, "i": np.int64}
        feed[port.name] = rows[[name]].to_numpy(kinds.get(dtype.kind, object))
    answers = (
        labelled(fitted, rows) if hasattr(fitted, "classes_") else valued(fitted.predict(rows))
    )
    signature = (
        infer_signature(frame, np.asarray(answers.predictions)) if signed is None else signed
    )
    return Export(
        graph.SerializeToString(), rows, feed, answers, signature or None,
        rows.head(2) if example else None,
    )  # fmt: skip


def tabled(
    model: Any, frame: pd.DataFrame, target: Any, signature: Any = None, **options: Any
) -> Export:
    """Fit on an array, and export as one tensor with the frame's signature."""
    array = frame.to_numpy(np.float32, copy=True)
    fitted = model.fit(array, target)
    graph = to_onnx(
        fitted, array[:1], target_opset=OPSETS, options={id(fitted): options} if options else None
    )
    rows = array[:TESTED_ROWS]
    answers = (
        labelled(fitted, rows) if hasattr(fitted, "classes_") else valued(fitted.predict(rows))
    )
    signature = (
        infer_signature(frame, np.asarray(answers.predictions)) if signature is None else signature
    )
    (port,) = graph.graph.input
    return Export(
        graph.SerializeToString(), frame.head(TESTED_ROWS), {port.name: rows}, answers, signature
    )


def _scaled() -> Iterator[Case]:
    for scaler in (StandardScaler(), MinMaxScaler(), RobustScaler(), PolynomialFeatures(2),
                   KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")):  # fmt: skip
        name = type(scaler).__name__
        for model, target in ((LogisticRegression(), PLAIN.words), (Ridge(), PLAIN.number)):
            yield _case(f"{name}, {type(model).__name__}", "to_onnx of a frame", "of a frame", "4 floats",
                        partial(piped, make_pipeline(scaler, model), PLAIN.frame, target),
                        name == "StandardScaler")  # fmt: skip


def _encoded(encoder: Any, columns: list[str], model: Any) -> Any:
    return make_pipeline(
        make_column_transformer((encoder, columns), remainder="passthrough"), model
    )


def _categories() -> Iterator[Case]:
    frame = mixed()[["fare", "port", "class"]]
    known = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    strict = OneHotEncoder(sparse_output=False)
    ordinal = OrdinalEncoder()
    models = ((LogisticRegression(), PLAIN.words), (GradientBoostingClassifier(n_estimators=10), PLAIN.bits),
              (Ridge(), PLAIN.number))  # fmt: skip
    for words, encoder in (("OneHotEncoder", strict), ("OneHotEncoder, unknown ignored", known),
                           ("OrdinalEncoder", ordinal)):  # fmt: skip
        for model, target in models:
            piece = _encoded(encoder, ["port", "class"], model)
            yield _case(f"{words}, {type(model).__name__}", "to_onnx, one input per column",
                        "of a frame", "1 float, 2 texts", partial(piped, piece, frame, target),
                        target is PLAIN.words)  # fmt: skip
            yield _case(f"{words}, {type(model).__name__}", "to_onnx, one input per column, zipmap off"
                        if hasattr(model, "predict_proba") else "to_onnx, one input per column",
                        "none", "1 float, 2 texts",
                        partial(piped, piece, frame, target, signed=False,
                                **({"zipmap": False} if hasattr(model, "predict_proba") else {})))  # fmt: skip
    codes = pd.DataFrame({"ward": np.arange(150) % 3 + 1, "grade": np.arange(150) % 2 + 1})
    floats = codes.astype(np.float32)
    for words, table in (("whole numbers 1, 2, 3", codes), ("codes 1, 2, 3 as floats", floats)):
        for example in (False, True):
            yield _case("OneHotEncoder, LogisticRegression", "to_onnx, one input per column",
                        "of a frame, with an input example" if example else "of a frame", words,
                        partial(piped, make_pipeline(strict, LogisticRegression()), table, PLAIN.words,
                                example=example), True)  # fmt: skip
    yield _case("OneHotEncoder, LogisticRegression", "to_onnx of an array, zipmap off", "none",
                "codes 1, 2, 3 as floats",
                partial(_unsigned, make_pipeline(strict, LogisticRegression()), floats, PLAIN.words), True)  # fmt: skip
    yield _case("OneHotEncoder, Ridge", "to_onnx of an array", "none", "codes 1, 2, 3 as floats",
                partial(_unsigned, make_pipeline(strict, Ridge()), floats, PLAIN.number), True)  # fmt: skip
    yield _case("OrdinalEncoder, CategoricalNB", "to_onnx, one input per column", "of a frame",
                "whole numbers 1, 2, 3",
                partial(piped, make_pipeline(ordinal, CategoricalNB()), codes, PLAIN.words))  # fmt: skip


def _unsigned(model: Any, frame: pd.DataFrame, target: Any) -> Export:
    """One tensor and no signature: the columns are numbered."""
    options = {"zipmap": False} if hasattr(model, "predict_proba") else {}
    numbered = frame.set_axis([f"feature_{i}" for i in range(frame.shape[1])], axis=1)
    return tabled(model, numbered, target, signature=False, **options)


def _texts() -> Iterator[Case]:
    words = ["fever and cough", "broken arm", "cough since monday", "arm hurts", "high fever"]
    frame = pd.DataFrame({"complaint": np.array(words * 30, object), "age": PLAIN.frame["age"]})
    ill = np.array([1, 0, 1, 0, 1] * 30)
    for vectorizer in (TfidfVectorizer(), CountVectorizer(), TfidfVectorizer(ngram_range=(1, 2)),
                       TfidfVectorizer(lowercase=False), TfidfVectorizer(analyzer="word", stop_words=["and"])):  # fmt: skip
        name = type(vectorizer).__name__
        options = "" if vectorizer.lowercase else ", case kept"
        options += ", pairs of words" if vectorizer.ngram_range == (1, 2) else ""
        options += ", stop words" if vectorizer.stop_words else ""
        with_age = make_pipeline(
            ColumnTransformer([("text", vectorizer, "complaint"), ("age", "passthrough", ["age"])]),
            LogisticRegression(),
        )
        yield _case(f"{name}{options}, LogisticRegression", "to_onnx, one input per column", "of a frame",
                    "1 text, 1 float", partial(piped, with_age, frame, ill), vectorizer.lowercase)  # fmt: skip


def _gaps() -> Iterator[Case]:
    for imputer in (SimpleImputer(), SimpleImputer(strategy="median"), SimpleImputer(add_indicator=True),
                    KNNImputer()):  # fmt: skip
        name = type(imputer).__name__ + (
            ", indicator" if getattr(imputer, "add_indicator", False) else ""
        )
        name += ", median" if getattr(imputer, "strategy", "") == "median" else ""
        model = make_pipeline(imputer, StandardScaler(), LogisticRegression())
        yield _case(f"{name}, LogisticRegression", "to_onnx of a frame", "of a frame, optional columns",
                    "4 floats with gaps", partial(piped, model, GAPS.frame, GAPS.words), "Simple" in name)  # fmt: skip
        yield _case(f"{name}, LogisticRegression", "to_onnx of an array, zipmap off",
                    "of a frame, optional columns", "4 floats with gaps",
                    partial(tabled, model, GAPS.frame, GAPS.words, zipmap=False))  # fmt: skip


def _names() -> Iterator[Case]:
    for words, names in _AWKWARD.items():
        frame = PLAIN.frame.set_axis(names, axis=1)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        yield _case("StandardScaler, LogisticRegression", "to_onnx of a frame", "of a frame", words,
                    partial(piped, model, frame, PLAIN.words), True)  # fmt: skip
        yield _case("StandardScaler, LogisticRegression", "to_onnx of an array, zipmap off", "of a frame",
                    words, partial(tabled, model, frame, PLAIN.words, zipmap=False))  # fmt: skip


def _dropped(model: Any, target: Any, place: int) -> Export:
    """The signature has a column that the graph lacks."""
    export = piped(model, PLAIN.frame, target)
    wider = export.frame.copy()
    wider.insert(place, "PassengerId", np.arange(1, len(wider) + 1))
    signature = infer_signature(wider, np.asarray(export.answers.predictions))
    return Export(export.graph, wider, export.feed, export.answers, signature)


def _booleans_and_integers() -> Iterator[Case]:
    dummies = pd.get_dummies(mixed()[["fare", "port", "class"]]).rename(
        columns=lambda c: c.replace(" ", "_")
    )
    for model, target in ((LogisticRegression(), PLAIN.words), (RandomForestClassifier(10), PLAIN.bits),
                          (LinearRegression(), PLAIN.number)):  # fmt: skip
        name = type(model).__name__
        options = {"zipmap": False} if hasattr(model, "predict_proba") else {}
        yield _case(name, "to_onnx of an array", "of a frame", "pd.get_dummies: 1 float, 5 booleans",
                    partial(tabled, model, dummies, target, **options), True)  # fmt: skip
        yield _case(name, "to_onnx, one input per column", "of a frame", "pd.get_dummies: 1 float, 5 booleans",
                    partial(piped, make_pipeline(StandardScaler(), model), dummies, target))  # fmt: skip
    whole = pd.DataFrame({"age": np.arange(150) % 70, "beds": np.arange(150) % 5})
    for model, target in ((LogisticRegression(), PLAIN.words), (Ridge(), PLAIN.number)):
        yield _case(type(model).__name__, "to_onnx of an array", "of a frame", "2 whole numbers",
                    partial(tabled, model, whole, target,
                            **({"zipmap": False} if hasattr(model, "predict_proba") else {})), True)  # fmt: skip
        yield _case(f"StandardScaler, {type(model).__name__}", "to_onnx, one input per column", "of a frame",
                    "2 whole numbers", partial(piped, make_pipeline(StandardScaler(), model), whole, target))  # fmt: skip
    for place, words in ((0, "first"), (4, "last")):
        yield _case("StandardScaler, LogisticRegression", "to_onnx of a frame",
                    f"of a frame with PassengerId {words}", "4 floats and one more",
                    partial(_dropped, make_pipeline(StandardScaler(), LogisticRegression()),
                            PLAIN.words, place), True)  # fmt: skip


def _signatures() -> Iterator[Case]:
    """One model with each form of signature."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, name) for name in PLAIN.frame.columns
    ]
    optional: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, name, required=False) for name in PLAIN.frame.columns
    ]
    answers = Schema([TensorSpec(np.dtype("float32"), (-1,))])
    forms = {
        "columns of doubles": ModelSignature(Schema(columns), answers),
        "columns without outputs": ModelSignature(Schema(columns)),
        "optional columns": ModelSignature(Schema(optional)),
        "unnamed columns": ModelSignature(Schema([ColSpec(DataType.float) for _ in range(4)])),
        "a tensor": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 4))])),
        "a tensor with a name": ModelSignature(
            Schema([TensorSpec(np.dtype("float32"), (-1, 4), "X")])
        ),
        "a tensor of unknown width": ModelSignature(
            Schema([TensorSpec(np.dtype("float32"), (-1, -1))])
        ),
    }
    for words, signature in forms.items():
        named = words not in {"columns of doubles", "columns without outputs", "optional columns"}
        frame = (
            PLAIN.frame.set_axis([f"feature_{i}" for i in range(4)], axis=1)
            if named
            else PLAIN.frame
        )
        for model, target in (
            (LogisticRegression(), PLAIN.words),
            (LinearRegression(), PLAIN.number),
        ):
            options = {"zipmap": False} if hasattr(model, "predict_proba") else {}
            if words == "columns of doubles" and options:
                continue  # the graph also returns texts
            yield _case(type(model).__name__, "to_onnx of an array", words, "4 floats",
                        partial(tabled, model, frame, target, signature, **options), named)  # fmt: skip
