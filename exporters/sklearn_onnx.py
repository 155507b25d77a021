"""Export: convert a fitted scikit-learn pipeline to an ONNX model with the predictor's metadata."""

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

import onnx
import pandas as pd
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType

from exporters.contract import INPUT, linear_model, metadata, record_examples
from exporters.errors import ConversionError
from exporters.training_data import TrainingData
from exporters.trees import with_float32_thresholds

# Old enough for every ONNX Runtime since 1.13, new enough for every converter used here.
OPSETS = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class OnnxExport:
    """A serialised ONNX model and the SHA-256 of its bytes, in hexadecimal."""

    content: bytes
    sha256: str


def export(
    pipeline: Any,
    examples: pd.DataFrame,
    positive_class: str,
    training: TrainingData | None = None,
) -> OnnxExport:
    """Convert a fitted classifier pipeline; the result keeps the promises of `exporters.contract`.

    Args:
        pipeline: fitted on named columns, with string labels and `predict_proba`.
        examples: float64 [N, F], real rows to choose the recorded examples from.
        positive_class: one of the pipeline's labels.
        training: the training data, with the same columns; it adds each feature's range and some of the
            rows to the metadata.

    Raises:
        ConversionError: a step cannot be converted; the error names the step.
    """
    try:
        proto = _convert(with_float32_thresholds(pipeline), examples.shape[1])
    except Exception as error:
        raise ConversionError(_failing_step(pipeline, error), error) from error
    recorded = record_examples(pipeline, examples, positive_class)
    labels = [str(label) for label in pipeline.classes_]
    linear = linear_model(pipeline, positive_class)
    names = list(examples.columns)
    onnx.helper.set_model_props(
        proto, metadata(names, labels, positive_class, recorded, training=training, linear=linear)
    )
    content = proto.SerializeToString(deterministic=True)
    return OnnxExport(content, hashlib.sha256(content).hexdigest())


def _convert(estimator: Any, features: int) -> onnx.ModelProto:
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    options = {id(final): {"zipmap": False}} if hasattr(final, "predict_proba") else None
    with warnings.catch_warnings():
        # The converter reads attributes of SVC that scikit-learn is removing.
        warnings.filterwarnings("ignore", "Attribute `prob[AB]_` was deprecated", FutureWarning)
        # It writes booleans into integer fields; protobuf 6 accepts them, 7 (excluded by a pin) does not.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto", DeprecationWarning)
        proto = skl2onnx.convert_sklearn(
            estimator,
            name="classifier",
            initial_types=[(INPUT, FloatTensorType([None, features]))],
            options=options,
            target_opset=OPSETS,
        )
    _name_each_opset_once(proto)
    return proto


def _name_each_opset_once(proto: onnx.ModelProto) -> None:
    """The converter repeats domains, which the ONNX specification forbids."""
    versions = {each.domain: each.version for each in proto.opset_import}
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(*each) for each in versions.items())


def _failing_step(pipeline: Any, error: Exception) -> str:
    """The first step that also fails to convert alone, as `name (Class)`; else the last step."""
    for name, step in pipeline.steps:
        try:
            _convert(step, getattr(step, "n_features_in_", 1))
        except Exception as alone:  # noqa: BLE001 - converters raise any type of error
            if type(alone) is type(error):
                return f"{name} ({type(step).__name__})"
    name, step = pipeline.steps[-1]
    return f"{name} ({type(step).__name__})"
