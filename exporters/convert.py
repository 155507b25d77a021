"""Conversion of a fitted model to an ONNX graph with the names of `exporters.contract`."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
)
from sklearn.svm import SVC, NuSVC

from exporters.answers import ONNXRUNTIME_ERRORS, PredictionKind
from exporters.contract import INPUT, Precision
from exporters.converters import register_converters
from exporters.errors import ConversionError
from exporters.estimators import float64_thresholds, for_conversion, imputed_values, parts
from exporters.graph import (
    OPSETS,
    compare_as_library,
    declare_outputs,
    impute_float64,
    interpolate_calibrations,
    join_inputs,
    keep_one_margin,
    label_as_boolean,
    name_inputs,
    name_outputs,
    remove_zipmaps,
    rename_labels,
    set_locale,
    set_opsets,
)
from exporters.refusals import named_parts, refuse
from exporters.table import Table

# The usual words of scikit-learn's vectorizers, in the syntax and alphabet of ONNX Runtime's tokenizer.
_WORDS = {
    r"(?u)\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",  # the default
    r"(?u)\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",
    r"\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\w+": r"[\p{L}\p{N}_]+",
}
_CLASS = re.compile(r"<class '[\w.]*?(\w+)'>")


def convert(
    model: Any,
    table: Table,
    task: PredictionKind,
    precision: Precision = "float32",
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """The graph of a fitted model.

    Its input is `features`, a tensor [N, F], or one input [N, 1] per column, with the columns' names. Its
    outputs are `label` and `probabilities` (or `scores`), or `value`. `options` are skl2onnx's, for the last
    step. Raises ConversionError, which names the step, and MissingExtraError.
    """
    prepared = for_conversion(model, float32=precision == "float32")
    refuse(prepared)
    register_converters(parts(prepared))
    by_column = not table.one_tensor or _selects_by_name(prepared)
    inputs = _inputs(table, precision) if by_column else [_features(table, precision)]
    try:
        proto = _converted(prepared, inputs, options)
    except Exception as error:
        raise ConversionError(_failing_step(prepared, inputs, error), error) from error
    graph = proto.graph
    if task.probabilities and len(graph.output) == 1:
        raise ConversionError(_step_of(prepared), NotImplementedError("without probabilities"))
    remove_zipmaps(graph)
    interpolate_calibrations(graph)
    set_locale(graph)
    name_outputs(graph, task, table.names)
    if task.margins and len(task.classes or ()) == 2 and len(graph.output) > 1:  # noqa: PLR2004
        keep_one_margin(graph)
    if task.renamed:
        rename_labels(graph, task.renamed)
    if table.one_tensor:
        join_inputs(graph, precision)
    else:
        name_inputs(graph, table.columns, precision)
    if precision != "float32":
        compare_as_library(graph, float64_thresholds(prepared))
        impute_float64(graph, imputed_values(prepared))
    if task.classes and isinstance(task.classes[0], bool) and not task.renamed:
        label_as_boolean(graph)
    set_opsets(proto)
    try:
        declare_outputs(proto, task)
    except ONNXRUNTIME_ERRORS as error:
        raise ConversionError(_step_of(prepared), error) from error
    return proto


def _features(table: Table, precision: Precision) -> tuple[str, Any]:
    number = FloatTensorType if precision == "float32" else DoubleTensorType
    return INPUT, number([None, len(table.columns)])


def _inputs(table: Table, precision: Precision) -> list[tuple[str, Any]]:
    """One input per column: a text or a number, because converters take no columns of different numbers."""
    number = FloatTensorType if precision == "float32" else DoubleTensorType
    return [
        (column.name, (StringTensorType if column.kind == "text" else number)([None, 1]))
        for column in table.columns
    ]


def _selects_by_name(model: Any) -> bool:
    """Whether a ColumnTransformer at the start of the model selects its columns by name."""
    return any(
        isinstance(name, str)
        for part in parts(model)
        for _, _, chosen in getattr(part, "transformers_", ())
        for name in ([chosen] if isinstance(chosen, str) else np.ravel(chosen).tolist())
    )


def _converted(
    model: Any, inputs: list[tuple[str, Any]], options: Mapping[str, Any] | None = None
) -> onnx.ModelProto:
    final = model.steps[-1][1] if hasattr(model, "steps") else model
    with warnings.catch_warnings():
        # The converter reads attributes of SVC that scikit-learn is removing.
        warnings.filterwarnings("ignore", "Attribute `prob[AB]_` was deprecated", FutureWarning)
        # It writes booleans into integer fields; protobuf 6 accepts them, 7 (excluded by a pin) does not.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto", DeprecationWarning)
        return convert_sklearn(
            model,
            name="model",
            initial_types=inputs,
            options={
                **_decision_options(model),
                **_calibrated_options(model),
                **_text_options(model),
                **({id(final): dict(options)} if options else {}),
            },
            target_opset=OPSETS,
        )


def _decision_options(model: Any) -> dict[int, dict[str, Any]]:
    """Have classifiers without probabilities no options: skl2onnx would give those of a pipeline a ZipMap.

    Of support vectors for two classes, the last step gives the decision function with its sign.
    """
    found: dict[int, dict[str, Any]] = {
        id(part): {}
        for part in parts(model)
        if hasattr(part, "decision_function") and not hasattr(part, "predict_proba")
    }
    final = model.steps[-1][1] if hasattr(model, "steps") else model
    if id(final) in found and isinstance(final, SVC | NuSVC):
        found[id(final)] = {"raw_scores": True}
    return found


def _calibrated_options(model: Any) -> dict[int, dict[str, Any]]:
    """Have the last steps of calibrated pipelines give the scores that their calibration reads."""
    finals = [
        calibrated.estimator.steps[-1][1]
        for part in parts(model)
        for calibrated in getattr(part, "calibrated_classifiers_", ())
        if hasattr(calibrated.estimator, "steps")
    ]
    return {
        id(final): {"raw_scores": True} for final in finals if hasattr(final, "decision_function")
    }


def _text_options(model: Any) -> dict[int, dict[str, Any]]:
    """Have the words of vectorizers be those of every language."""
    return {
        id(part): {"tokenexp": _WORDS[part.token_pattern]}
        for part in parts(model)
        if getattr(part, "token_pattern", None) in _WORDS and part.analyzer == "word"
    }


def _failing_step(model: Any, inputs: list[tuple[str, Any]], error: Exception) -> str:
    """The part that the converter's error names; else the first step without which the rest converts."""
    named = dict(named_parts("model", model))
    mentioned = set(_CLASS.findall(str(error)))
    for name, part in reversed(named.items()):
        if type(part).__name__ in mentioned:
            return f"{name} ({type(part).__name__})"
    steps = getattr(model, "steps", [("model", model)])
    for count, (name, step) in enumerate(steps, start=1):
        try:
            _converted(model[:count] if count < len(steps) else model, inputs)
        except Exception:  # noqa: BLE001 - converters raise any type of error
            return f"{name} ({type(step).__name__})"
    return _step_of(model)


def _step_of(model: Any) -> str:
    """The last step, for an error that names none."""
    name, step = model.steps[-1] if hasattr(model, "steps") else ("model", model)
    return f"{name} ({type(step).__name__})"
