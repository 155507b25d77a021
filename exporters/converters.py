"""Converters of LightGBM, XGBoost and CatBoost, registered with skl2onnx: alone, or inside a pipeline."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from onnx import helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import (
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
    guess_proto_type,
)
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from exporters.errors import MissingExtraError
from exporters.sklearn_converters import (
    register_selectors,
    register_sklearn_converters,
    register_trees,
)

# The module of onnxmltools with the converter, and its function.
_ONNXMLTOOLS = {
    "lightgbm": ("lightgbm.operator_converters.LightGbm", "convert_lightgbm"),
    "xgboost": ("xgboost.operator_converters.XGBoost", "convert_xgboost"),
}
_TITLES = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost"}


def library_of(estimator: Any) -> str:
    """The package that defines an estimator, such as `sklearn` or `lightgbm`."""
    return type(estimator).__module__.partition(".")[0]


def register_converters(parts: list[Any]) -> None:
    """Register what skl2onnx needs for these fitted estimators. Raises MissingExtraError."""
    register_sklearn_converters()
    register_selectors(parts)
    register_trees(parts)
    for kind in {type(part) for part in parts}:
        library = kind.__module__.partition(".")[0]
        if library in _ONNXMLTOOLS:
            if find_spec("onnxmltools") is None:
                raise MissingExtraError(_TITLES[library], "onnxmltools", library)
            module, function = _ONNXMLTOOLS[library]
            converter = getattr(import_module(f"onnxmltools.convert.{module}"), function)
            _register(kind, _with_types(_CHECKED[library](converter)))
        elif library == "catboost":
            _register(kind, _with_types(_convert_catboost), _parse_catboost)


def _register(kind: type[Any], converter: Any, parser: Any = None) -> None:
    classifier = _is_classifier(kind)
    shapes = (
        calculate_linear_classifier_output_shapes
        if classifier
        else calculate_linear_regressor_output_shapes
    )
    options: dict[str, Any] = {}
    if classifier:
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
        if hasattr(kind, "decision_function"):
            options["raw_scores"] = [True, False]
    update_registered_converter(
        kind, kind.__name__, shapes, converter, parser=parser, options=options
    )


def _is_classifier(kind: type[Any]) -> bool:
    return kind.__name__.endswith("Classifier")


@dataclass(frozen=True)
class _Operator:
    """What a converter reads of skl2onnx's operator; `outputs` have the names to write."""

    raw_operator: Any
    inputs: Any
    outputs: list["_Variable"]
    full_name: str

    @property
    def input_full_names(self) -> list[str]:
        return [each.full_name for each in self.inputs]

    @property
    def output_full_names(self) -> list[str]:
        return [each.full_name for each in self.outputs]


@dataclass(frozen=True)
class _Variable:
    full_name: str


Converter = Callable[[Any, Any, Any], None]


def _with_types(converter: Converter) -> Converter:
    """Cast what trees compute, which is always float32, to the type that skl2onnx declared."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        *labels, values = operator.outputs
        name = scope.get_unique_variable_name("tree_values")
        outputs = [*(_Variable(each.full_name) for each in labels), _Variable(name)]
        inner = _Operator(operator.raw_operator, operator.inputs, outputs, operator.full_name)
        converter(scope, inner, container)
        container.add_node(
            "Cast", [name], [values.full_name], to=guess_proto_type(values.type),
            name=scope.get_unique_operator_name("Cast"),
        )  # fmt: skip

    return convert


def _lightgbm(converter: Converter) -> Converter:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        text = operator.raw_operator.booster_.model_to_string()
        if "is_linear=1" in text:
            raise NotImplementedError("trees with linear leaves: fit with linear_tree=False")
        if "objective=multiclassova" in text:
            raise NotImplementedError("multiclassova: fit with objective='multiclass'")
        if re.search(r"^objective=.* sqrt$", text, re.MULTILINE):
            raise NotImplementedError(
                "reg_sqrt=True: fit a TransformedTargetRegressor with func=np.sqrt, inverse_func=np.square"
            )
        if "[zero_as_missing: 1]" in text:
            raise NotImplementedError("zero_as_missing=True: fit with NaN for a missing value")
        converter(scope, operator, container)
        options = {"raw_scores": False}
        if _is_classifier(type(operator.raw_operator)):
            options = container.get_options(operator.raw_operator, options)
        if options["raw_scores"]:
            # A calibration reads the values of the decision function.
            _set_attribute(_ensemble(container), "post_transform", "NONE")

    return convert


def _xgboost(converter: Converter) -> Converter:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        learner = json.loads(operator.raw_operator.get_booster().save_raw("json"))["learner"]
        booster = learner["gradient_booster"]["name"]
        if booster != "gbtree":
            raise NotImplementedError(f"the booster {booster}: fit with booster='gbtree'")
        objective = learner["objective"]["name"]
        if not _is_classifier(type(operator.raw_operator)) and not objective.startswith(_VALUES):
            raise NotImplementedError(f"a regressor with the objective {objective}")
        converter(scope, operator, container)
        _set_targets(container, learner["gradient_booster"]["model"]["tree_info"])

    return convert


# Objectives of XGBoost whose values the converter computes.
_VALUES = (
    "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror", "reg:squaredlogerror",
    "reg:gamma", "reg:tweedie", "count:poisson", "rank:",
)  # fmt: skip
_CHECKED = {"lightgbm": _lightgbm, "xgboost": _xgboost}


def _set_targets(container: Any, targets: list[int]) -> None:
    """Give each tree the class or target that it was fitted for; `targets` has one for each tree.

    The converter assumes one tree for each class in turn, which is wrong for random forests, and a single target.
    """
    if len(set(targets)) == 1:
        return
    node = _ensemble(container)
    kind = "class" if node.op_type.endswith("Classifier") else "target"
    (trees,) = (each.ints for each in node.attribute if each.name == f"{kind}_treeids")
    _set_attribute(node, f"{kind}_ids", [targets[tree] for tree in trees])


def _ensemble(container: Any) -> Any:
    """The ensemble of trees that was added last."""
    nodes = reversed(container.nodes)
    return next(each for each in nodes if each.op_type.startswith("TreeEnsemble"))


def _set_attribute(node: Any, name: str, value: Any) -> None:
    (old,) = (each for each in node.attribute if each.name == name)
    node.attribute.remove(old)
    node.attribute.append(helper.make_attribute(name, value))


def _parse_catboost(scope: Any, model: Any, inputs: Any, **_: Any) -> Any:
    """Declare the outputs of a CatBoost model: the label and the probabilities, or the value."""
    operator = scope.declare_local_operator(type(model).__name__, model)
    operator.inputs = inputs
    if _is_classifier(type(model)):
        text = (
            getattr(model.classes_, "dtype", None) is not None and model.classes_.dtype.kind in "UO"
        )
        label = StringTensorType() if text else Int64TensorType()
        operator.outputs.append(scope.declare_local_variable("label", label))
        operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    else:
        operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType()))
    return operator.outputs


def _convert_catboost(scope: Any, operator: Any, container: Any) -> None:
    """Add the node that CatBoost's own exporter writes: one ensemble of trees.

    Source: https://onnx.ai/sklearn-onnx/auto_tutorial/plot_gexternal_catboost.html
    """
    from catboost.utils import convert_to_onnx_object  # type: ignore[import-not-found]

    model = operator.raw_operator
    _number_booleans(model)
    node = convert_to_onnx_object(model).graph.node[0]
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    kind = node.op_type
    if kind == "TreeEnsembleClassifier" and not _is_classifier(type(model)):
        kind, attributes = _as_regressor(attributes)
    container.add_node(
        kind,
        [operator.inputs[0].full_name],
        [output.full_name for output in operator.outputs],
        op_domain=node.domain,
        op_version=1,
        name=scope.get_unique_operator_name(kind),
        **attributes,
    )


def _number_booleans(model: Any) -> None:
    """Call the classes of a copied CatBoost model 0 and 1: its exporter knows no booleans."""
    metadata = model.get_metadata()
    classes = json.loads(dict(metadata.items()).get("class_params", "{}"))
    if classes.get("class_label_type") == "Boolean":
        numbered = {"class_label_type": "Integer", "class_names": [0, 1]}
        metadata["class_params"] = json.dumps({**classes, **numbered})


def _as_regressor(attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """CatBoost writes a regressor of several targets as a classifier."""
    kept = {
        name.replace("class_", "target_"): value
        for name, value in attributes.items()
        if not name.startswith("classlabels")
    }
    targets = 1 + max(attributes["class_ids"])
    return "TreeEnsembleRegressor", {**kept, "post_transform": "NONE", "n_targets": targets}
