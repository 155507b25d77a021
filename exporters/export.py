"""Export: a fitted model as an ONNX model with the predictor's metadata, proven on rows."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import pandas as pd

from exporters.answers import ONNXRUNTIME_ERRORS, PredictionKind, from_library, from_onnx
from exporters.contract import Precision
from exporters.convert import convert
from exporters.converters import library_of
from exporters.errors import ConversionError, ExportError, ParityError
from exporters.estimators import best_estimator, fitted_names, imputed
from exporters.graph import keep_labels_only
from exporters.metadata import Fitted, Settings, plain_label, with_metadata
from exporters.parity import ParityReport, compare
from exporters.refusals import refuse
from exporters.rows import parity_rows
from exporters.splits import SplitRows, split_rows
from exporters.table import MISSING_TEXT, Table, read_table, with_optional
from exporters.training_data import MAX_BACKGROUND_ROWS

DEFAULT = Settings()
_LARGEST_IN_FLOAT32 = 2**24  # each whole number up to it is a float32
# Tried in this order until parity holds: the fastest first, then formats that round less.
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "float64_input")


@dataclass(frozen=True)
class Export(Fitted):
    """A proven ONNX model: its bytes, their SHA-256 in hexadecimal, and the comparison that proves it."""

    content: bytes
    sha256: str
    parity: ParityReport


def export(model: Any, rows: Any, settings: Settings = DEFAULT) -> Export:
    """Convert a fitted model, and compare ONNX Runtime with the library.

    Args:
        model: a fitted scikit-learn estimator or pipeline, or an estimator of XGBoost, LightGBM or CatBoost.
        rows: what it was fitted on, or rows like them: a pandas or Polars data frame, an Arrow table, an
            array [N, F], or a list of records.
        settings: what else to export.

    Raises ExportError for a model or rows that cannot be served, ConversionError, MissingExtraError, and
    ParityError. `settings.failed` is called with the report before a ParityError. Scores that are no probabilities
    are left out if the graph gives the library's labels, but not its scores.
    """
    if not 0 <= settings.background_rows <= MAX_BACKGROUND_ROWS:
        raise ExportError(
            f"background_rows is {settings.background_rows}; the service takes 0 to {MAX_BACKGROUND_ROWS:,}."
        )
    refuse(best_estimator(model))
    names = fitted_names(model)
    _refuse_categories(model, rows)
    table = read_table(rows, names)
    if settings.labels is not None and len(settings.labels) != len(table.frame):
        raise ExportError(f"y has {len(settings.labels)} values for {len(table.frame)} rows of X.")
    task = task_of(model, table, settings.class_labels)
    table = _with_missing_values(model, table, task)
    kinds = parity_rows(table, seed=settings.seed)
    examples = table
    if settings.further_rows is not None:
        kinds["further"] = read_table(settings.further_rows, names).frame
        complete = _complete(table.with_rows(kinds["further"]))
        examples = complete if len(complete.frame) else table
    fitted = Fitted(model, table, task)
    tried: list[ParityReport] = []
    failure: ConversionError | None = None
    precisions = _precisions(table)
    for precision in precisions:
        try:
            proto = convert(model, table, task, precision, settings.options)
            report = _compared(fitted, proto, kinds, settings)
        except ConversionError as error:
            if not tried:
                raise
            failure = error
            continue
        tried.append(replace(report, precision=precision))
        if report.passed:
            return _proven(fitted, proto, tried[-1], settings, examples)
    if task.labels and not task.probabilities and not tried[0].label_mismatches:
        proto = convert(model, table, task, precisions[0], settings.options)
        keep_labels_only(proto.graph)
        report = _compared(fitted, proto, kinds, settings)
        if report.passed:
            labels_only = replace(report, precision=precisions[0])
            return _proven(fitted, proto, labels_only, settings, examples)
    settings.failed(tried[0])
    raise ParityError(tried[0], _advice(task, tried, failure))


def _proven(
    fitted: Fitted,
    proto: onnx.ModelProto,
    report: ParityReport,
    settings: Settings,
    examples: Table,
) -> Export:
    content = with_metadata(proto, fitted, settings, examples)
    digest = hashlib.sha256(content).hexdigest()
    return Export(fitted.model, fitted.table, fitted.task, content, digest, report)


def _complete(table: Table) -> Table:
    """The rows that lack no value which the service requires."""
    required = [place for place, column in enumerate(table.columns) if not column.optional]
    whole = table.frame.iloc[:, required].notna().all(axis=1)
    return table.with_rows(table.frame[whole])


def _refuse_categories(model: Any, rows: Any) -> None:
    """Boosting libraries read pandas' categories by their numbers, which a graph does not know."""
    if library_of(best_estimator(model)) not in {"lightgbm", "xgboost", "catboost"}:
        return
    dtypes = getattr(rows, "dtypes", None)
    for name, dtype in dtypes.items() if isinstance(dtypes, pd.Series) else ():
        if isinstance(dtype, pd.CategoricalDtype):
            raise ExportError(
                f"column {name!r} has pandas' dtype category, which {type(model).__name__} reads by its own "
                "numbers; fit a pipeline with an OrdinalEncoder or OneHotEncoder for it before the model."
            )


def _precisions(table: Table) -> tuple[Precision, ...]:
    """Texts alone have no precision. A whole number that float32 would round needs float64 from the start."""
    if all(column.kind == "text" for column in table.columns):
        return PRECISIONS[:1]
    large = any(
        column.kind == "integer" and table.frame.iloc[:, place].abs().max() > _LARGEST_IN_FLOAT32
        for place, column in enumerate(table.columns)
    )
    return PRECISIONS[-1:] if large and table.one_tensor else PRECISIONS


def task_of(
    model: Any, table: Table, class_labels: tuple[Any, ...] | None = None
) -> PredictionKind:
    """What a fitted model predicts. Raises ExportError if it predicts nothing."""
    if type(model).__name__ == "Booster":
        raise ExportError(
            f"a Booster of {library_of(model)} does not say which classes it predicts; give the estimator, "
            "such as LGBMClassifier or XGBRegressor, instead of its booster."
        )
    if not hasattr(model, "predict"):
        raise ExportError(
            f"{type(model).__name__} has no method `predict`; fit a pipeline that ends in an estimator "
            "which predicts."
        )
    try:
        predicted = np.asarray(model.predict(table.with_rows(table.frame.iloc[:1]).for_library()))
    except Exception as error:
        raise ExportError(f"the model cannot predict the first row of X: {error}") from error
    several = predicted.ndim > 1 and predicted.shape[1] > 1
    with_probabilities = hasattr(model, "predict_proba")
    if several or not len(getattr(model, "classes_", ())):
        # Of a clustering and an outlier detector, too, the labels are whole numbers.
        labels = predicted.dtype.kind != "f"
        return PredictionKind(labels, False, margins=labels and not with_probabilities)
    classes = tuple(plain_label(label) for label in model.classes_)
    if class_labels is not None:
        _check_class_labels(class_labels, classes)
    return PredictionKind(
        True, with_probabilities, classes, class_labels, margins=not with_probabilities
    )


def _check_class_labels(class_labels: tuple[Any, ...], classes: tuple[Any, ...]) -> None:
    if classes != tuple(range(len(classes))):
        raise ExportError(
            f"class_labels are for a model whose classes are 0, 1, …; the classes of this one are "
            f"{', '.join(map(str, classes))}, which clients will see."
        )
    if len(class_labels) != len(classes):
        raise ExportError(f"there are {len(class_labels)} class_labels for {len(classes)} classes.")


def _with_missing_values(model: Any, table: Table, task: PredictionKind) -> Table:
    """A column is optional if a row has no value in it, or if an imputer of the model fills it."""
    gaps = {column.name for column in table.columns if column.optional}
    may_be_filled = {column.name for column in table.columns if column.kind in {"number", "text"}}
    filled = imputed(model, table.columns) & may_be_filled
    for name in sorted(filled - gaps):
        place = table.names.index(name)
        row = table.frame.iloc[:1].copy()
        row.isetitem(
            place, np.full(1, np.nan, object if table.columns[place].kind == "text" else None)
        )
        if _computes(model, task, table.with_rows(row)):
            gaps.add(name)
    _refuse_missing_text(table, gaps)
    return with_optional(table, gaps)


def _refuse_missing_text(table: Table, gaps: set[str]) -> None:
    """A graph has no missing text, so one text stands for it, which no other row may have."""
    for place, column in enumerate(table.columns):
        may_be_missing = column.kind == "text" and column.name in gaps
        if may_be_missing and (table.frame.iloc[:, place] == MISSING_TEXT).any():
            raise ExportError(
                f"column {column.name!r} may be missing, and has the text {MISSING_TEXT!r}, too, which stands for "
                "a missing value in a graph: make it another text, or make it missing, and fit again."
            )


def _computes(model: Any, task: PredictionKind, row: Table) -> bool:
    try:
        from_library(model, task, row)
    except Exception:  # noqa: BLE001 - each library has its own errors
        return False
    return True


def _compared(
    fitted: Fitted, proto: onnx.ModelProto, kinds: Mapping[str, pd.DataFrame], settings: Settings
) -> ParityReport:
    """Compare these rows and those at the graph's splits. Raises ConversionError if the graph is invalid."""
    known = fitted.table.with_rows(pd.concat(kinds.values(), ignore_index=True))
    try:
        at_splits = _at_splits(fitted, proto, known, settings.seed)
        rows = {**kinds, "split": at_splits.frame} if len(at_splits.frame) else kinds
        report = compare(
            fitted.model, proto.SerializeToString(), fitted.task, fitted.table, rows,
            tolerance=settings.tolerance,
        )  # fmt: skip
    except ONNXRUNTIME_ERRORS as error:
        raise ConversionError(type(best_estimator(fitted.model)).__name__, error) from error
    return replace(report, splits=at_splits.splits, splits_tested=at_splits.tested)


def _at_splits(fitted: Fitted, proto: onnx.ModelProto, known: Table, seed: int) -> SplitRows:
    """Rows at the graph's splits, made of the rows that the graph does not refuse, such as unseen categories."""
    try:
        return split_rows(proto, known, seed=seed)
    except ONNXRUNTIME_ERRORS:
        refused = from_onnx(proto.SerializeToString(), fitted.task, known).refused
        return split_rows(proto, known.with_rows(known.frame[~refused]), seed=seed)


def _advice(
    task: PredictionKind, tried: list[ParityReport], failure: ConversionError | None
) -> str:
    """What usually helps for this kind of difference."""
    parts = []
    if len(tried) > 1:
        others = "; ".join(
            f"{each.precision}: {each.mismatches:,} rows differ" for each in tried[1:]
        )
        parts.append(f"Other precisions did not help ({others}).")
    if failure is not None:
        parts.append(f"A graph of float64 is not possible: {failure}")
    kind = tried[0].worst.kind
    if tried[0].splits and kind in {"given", "generated", "split"}:
        parts.append(
            "Trees decide by the last digit of a value: put skl2onnx's CastTransformer(np.float32) before "
            "the trees (after a scaler), and fit again."
        )
    elif kind == "unseen category":
        parts.append(
            "The row has a category that the rows do not have: encode with handle_unknown='ignore' or "
            "'use_encoded_value', and fit again."
        )
    elif kind == "missing value":
        parts.append(
            "The row has a missing value: fill the gaps of this column with a SimpleImputer, and fit again."
        )
    elif not task.labels:
        parts.append(
            "If this difference does not matter for your values, give a larger `tolerance`; else scale the "
            "columns and the target before the fit."
        )
    else:
        parts.append(
            "See skl2onnx's options of this estimator (`options=`), scale the columns before the fit, or give "
            "a larger `tolerance` if such a difference does not matter to you."
        )
    return " ".join(parts)
