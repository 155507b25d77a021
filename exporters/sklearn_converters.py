"""Converters of scikit-learn's estimators that skl2onnx lacks, or converts only in part."""

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._parse import _parse_sklearn
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter, register_converter
from skl2onnx.common.data_types import (
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
    guess_proto_type,
)
from skl2onnx.operator_converters.multilayer_perceptron import convert_sklearn_mlp_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

# The ONNX operators of functions, with their constants.
_FUNCTIONS: dict[Any, list[tuple[Any, ...]]] = {
    np.exp: [("Exp",)],
    np.expm1: [("Exp",), ("Sub", [1.0])],
    np.log: [("Log",)],
    np.log1p: [("Add", [1.0]), ("Log",)],
    np.sqrt: [("Sqrt",)],
    np.abs: [("Abs",)],
    np.square: [("Pow", [2.0])],
}
_TREES = (
    DecisionTreeClassifier, DecisionTreeRegressor, RandomForestClassifier, RandomForestRegressor,
    ExtraTreesClassifier, ExtraTreesRegressor,
)  # fmt: skip
_ORIGINALS: dict[str, Any] = {}  # skl2onnx's own converters of these, by its name of the operator
_MISSING = "nodes_missing_value_tracks_true"


def register_sklearn_converters() -> None:
    """Register them with skl2onnx, in place of its own."""
    for kind in (FixedThresholdClassifier, TunedThresholdClassifierCV):
        update_registered_converter(
            kind, kind.__name__, _no_shapes, _convert_threshold, parser=_parse_threshold
        )
    update_registered_converter(
        TransformedTargetRegressor, "TransformedTargetRegressor", _no_shapes, _convert_target,
        parser=_parse_target,
    )  # fmt: skip
    update_registered_converter(
        FunctionTransformer, "SklearnFunctionTransformer", _joined_shapes, _convert_function
    )
    update_registered_converter(
        MLPRegressor, "SklearnMLPRegressor", _network_shapes, _convert_network
    )


def register_selectors(parts: list[Any]) -> None:
    """Register the selection of columns for these estimators: skl2onnx fails where only the first is selected."""
    for kind in {type(part) for part in parts if isinstance(part, SelectorMixin)}:
        if hasattr(kind, "predict"):
            continue  # RFE can be a classifier, too
        update_registered_converter(kind, kind.__name__, _selected_shapes, _convert_selection)


def register_trees(parts: list[Any]) -> None:
    """Have trees and forests send missing values where the fit did: skl2onnx sends all of them to the right."""
    for kind in {type(part) for part in parts if isinstance(part, _TREES)}:
        alias = sklearn_operator_name_map.get(kind)
        if alias is not None:
            original = _ORIGINALS.setdefault(alias, get_converter(alias))
            register_converter(
                alias, _with_missing_values(original), overwrite=True,
                options=original.get_allowed_options(),
            )  # fmt: skip


def _with_missing_values(original: Any) -> Any:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        original(scope, operator, container)
        model = operator.raw_operator
        trees = [each.tree_ for each in np.ravel(getattr(model, "estimators_", [model]))]
        node = next(each for each in reversed(container.nodes) if "TreeEnsemble" in each.op_type)
        branches = np.concatenate([each.missing_go_to_left for each in trees])
        (given,) = (each for each in node.attribute if each.name == _MISSING)
        if len(given.ints) == len(branches):
            given.ints[:] = branches.tolist()

    return convert


def _selected_shapes(operator: Any) -> None:
    count = int(operator.raw_operator.get_support().sum())
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(type(operator.inputs[0].type)([rows, count]))


def _convert_selection(scope: Any, operator: Any, container: Any) -> None:
    places = operator.raw_operator.get_support(indices=True)
    name = scope.get_unique_variable_name("places")
    container.add_initializer(name, TensorProto.INT64, [len(places)], places)
    container.add_node(
        "Gather", [operator.inputs[0].full_name, name], [operator.outputs[0].full_name], axis=1,
        name=scope.get_unique_operator_name("Gather"),
    )  # fmt: skip


def _no_shapes(operator: Any) -> None:
    """The parsers declare types; ONNX Runtime finds the shapes."""


def _parse_threshold(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    inner = model.estimator_
    final = inner.steps[-1][1] if hasattr(inner, "steps") else inner
    scope.add_options(id(final), {"zipmap": False})
    operator = scope.declare_local_operator(type(model).__name__, model)
    operator.inputs = _parse_sklearn(scope, inner, inputs, custom_parsers=custom_parsers)
    text = np.asarray(model.classes_).dtype.kind in "UO"
    label, probabilities = (StringTensorType if text else Int64TensorType), operator.inputs[1].type
    operator.outputs.append(scope.declare_local_variable("label", label()))
    operator.outputs.append(scope.declare_local_variable("probabilities", type(probabilities)()))
    return operator.outputs


def _convert_threshold(scope: Any, operator: Any, container: Any) -> None:
    """The label is that of the positive class where its probability reaches the threshold."""
    model = operator.raw_operator
    if model.response_method == "decision_function" or not hasattr(model, "predict_proba"):
        raise NotImplementedError(
            "a threshold of a decision function: fit a classifier with predict_proba"
        )
    positive = _positive_place(model)
    probabilities, kind = operator.inputs[1].full_name, guess_proto_type(operator.inputs[1].type)
    names = {each: scope.get_unique_variable_name(each) for each in (
        "place", "threshold", "chosen", "above", "yes", "no", "table", "shape"
    )}  # fmt: skip
    classes = [each.encode() if isinstance(each, str) else int(each) for each in model.classes_]
    label = TensorProto.STRING if isinstance(classes[0], bytes) else TensorProto.INT64
    container.add_initializer(names["place"], TensorProto.INT64, [1], [positive])
    container.add_initializer(names["threshold"], kind, [1], [_threshold(model)])
    container.add_initializer(names["yes"], label, [1], [classes[positive]])
    container.add_initializer(names["no"], label, [1], [classes[1 - positive]])
    container.add_initializer(names["shape"], TensorProto.INT64, [1], [-1])
    for kind_, inputs, output in (
        ("Gather", [probabilities, names["place"]], names["chosen"]),
        ("GreaterOrEqual", [names["chosen"], names["threshold"]], names["above"]),
        ("Where", [names["above"], names["yes"], names["no"]], names["table"]),
        ("Reshape", [names["table"], names["shape"]], operator.outputs[0].full_name),
        ("Identity", [probabilities], operator.outputs[1].full_name),
    ):
        settings = {"axis": 1} if kind_ == "Gather" else {}
        container.add_node(
            kind_, inputs, [output], name=scope.get_unique_operator_name(kind_), **settings
        )


def _positive_place(model: Any) -> int:
    scorer = getattr(model, "_curve_scorer", None)
    label = scorer._get_pos_label() if scorer is not None else model.pos_label  # noqa: SLF001
    return 1 if label is None else int(np.flatnonzero(np.asarray(model.classes_) == label)[0])


def _threshold(model: Any) -> float:
    found = getattr(model, "best_threshold_", None)
    found = model.threshold if found is None else found
    return 0.5 if found == "auto" else float(found)


def _parse_target(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    operator = scope.declare_local_operator(type(model).__name__, model)
    operator.inputs = _parse_sklearn(scope, model.regressor_, inputs, custom_parsers=custom_parsers)
    kind = type(operator.inputs[0].type)
    operator.outputs.append(scope.declare_local_variable("variable", kind()))
    return operator.outputs


def _convert_target(scope: Any, operator: Any, container: Any) -> None:
    """Turn the inner regressor's values back with the inverse of the transformer."""
    operators = _inverse(operator.raw_operator.transformer_)
    name = _add_operators(scope, operator, container, operator.inputs[0].full_name, operators)
    container.add_node(
        "Identity", [name], [operator.outputs[0].full_name],
        name=scope.get_unique_operator_name("Identity"),
    )  # fmt: skip


def _joined_shapes(operator: Any) -> None:
    kind = type(operator.inputs[0].type)
    widths = [each.type.shape[1] for each in operator.inputs]
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(kind([rows, None if None in widths else sum(widths)]))


def _convert_function(scope: Any, operator: Any, container: Any) -> None:
    """One of the known functions, of all columns."""
    operators = _operators_of(operator.raw_operator.func, "func")
    name = operator.inputs[0].full_name
    if len(operator.inputs) > 1:
        name = scope.get_unique_variable_name("joined")
        container.add_node(
            "Concat", [each.full_name for each in operator.inputs], [name], axis=1,
            name=scope.get_unique_operator_name("Concat"),
        )  # fmt: skip
    computed = _add_operators(scope, operator, container, name, operators)
    # The steps behind it refuse an infinite value, such as the logarithm of 0; so it becomes NaN: inf * 0.
    nothing = _add_operators(scope, operator, container, computed, [("Mul", [0.0])])
    container.add_node(
        "Add", [computed, nothing], [operator.outputs[0].full_name],
        name=scope.get_unique_operator_name("Add"),
    )  # fmt: skip


def _add_operators(
    scope: Any, operator: Any, container: Any, name: str, operators: list[tuple[Any, ...]]
) -> str:
    """Apply operators with their constants to the value `name`, one after the other; the result's name."""
    kind = guess_proto_type(operator.inputs[0].type)
    for operation, *constants in operators:
        inputs = [name]
        for values in constants:
            inputs.append(scope.get_unique_variable_name("constant"))
            container.add_initializer(inputs[-1], kind, [len(values)], values)
        name = scope.get_unique_variable_name("computed")
        container.add_node(
            operation, inputs, [name], name=scope.get_unique_operator_name(operation)
        )
    return name


def _operators_of(function: Any, argument: str) -> list[tuple[Any, ...]]:
    """The ONNX operators of a function; None is the identity."""
    if function is None:
        return []
    if function not in _FUNCTIONS:
        raise NotImplementedError(
            f"the {argument} {getattr(function, '__name__', function)}; "
            f"{', '.join(each.__name__ for each in _FUNCTIONS)} of NumPy are possible"
        )
    return _FUNCTIONS[function]


def _inverse(transformer: Any) -> list[tuple[Any, ...]]:
    """The ONNX operators, with their constants, of `inverse_transform`."""
    if isinstance(transformer, FunctionTransformer):
        return _operators_of(transformer.inverse_func, "inverse_func")
    if isinstance(transformer, StandardScaler):
        scale = [] if transformer.scale_ is None else [("Mul", transformer.scale_)]
        return [*scale, *([("Add", transformer.mean_)] if transformer.with_mean else [])]
    if isinstance(transformer, MinMaxScaler):
        return [("Sub", transformer.min_), ("Div", transformer.scale_)]
    raise NotImplementedError(
        f"a target that is transformed by {type(transformer).__name__}: use StandardScaler, MinMaxScaler or func="
    )


def _network_shapes(operator: Any) -> None:
    kind = type(operator.inputs[0].type)
    kind = kind if guess_proto_type(kind()) == TensorProto.DOUBLE else FloatTensorType
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(kind([rows, operator.raw_operator.n_outputs_]))


def _convert_network(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx puts all targets below each other; give each row its own again."""
    convert_sklearn_mlp_regressor(scope, operator, container)
    targets = operator.raw_operator.n_outputs_
    if targets == 1:
        return
    (output,) = (each for each in container.nodes if operator.output_full_names[0] in each.output)
    shape = scope.get_unique_variable_name("targets")
    container.add_initializer(shape, TensorProto.INT64, [2], [-1, targets])
    output.input[1] = shape
