"""The schemas of predictions: the classes of the serving version, or the numbers of a regressor."""

from typing import Any

from predictor.openapi.operations import ref
from predictor.openapi.schemas import VERSION, Schema, an_object, number
from predictor.openapi.warned import WARNING, with_warnings
from predictor.servable import Servable
from predictor.signature import ExtraOutput, Port, Signature, label_name

_CHANCE: Schema = {"minimum": 0, "maximum": 1}


def predictions(servable: Servable | None, example: Any) -> dict[str, Schema]:
    """Those of one prediction and of several. `example` is an answer, where one is known."""
    signature = servable.signature if servable else None
    found = _classes(signature) if signature else {}
    answer = _answer(signature, example, found)
    read = signature.outputs if signature else None
    optional = ["outputs"]
    if read and read.unproved:  # each row shows whether its scores are probabilities
        optional += ["probability", "probabilities"]

    def described(properties: dict[str, Schema], description: str) -> Schema:
        return with_warnings(an_object(properties, description, optional=optional))

    found["Warning"] = WARNING
    found["Prediction"] = described(
        {**answer, **VERSION}, "A prediction, with the version that computed it."
    )
    if example:
        found["Prediction"]["example"] = example
    found["Explained"] = described(
        {**answer, "explanation": ref("Explanation"), **VERSION},
        "A prediction, and what each feature contributed to it.",
    )
    found["RowPrediction"] = described(answer, "The prediction for one record of several.")
    several = {
        "type": "array",
        "items": ref("RowPrediction"),
        "description": "One for each record, in their order.",
    }
    found["Predictions"] = an_object(
        {"predictions": several, **VERSION}, "Predictions, all of them from the version it names."
    )
    return found


def _classes(signature: Signature) -> dict[str, Schema]:
    labels = signature.class_labels
    kind = _kind(labels)
    found: dict[str, Schema] = {}
    if kind == "boolean":
        found["ClassLabel"] = {"type": kind, "description": "A class."}
    elif kind:
        found["ClassLabel"] = {"type": kind, "enum": list(labels), "description": "A class."}
    if labels and signature.outputs.probabilities is not None:
        chances = {label_name(label): number(**_CHANCE) for label in labels}
        found["Probabilities"] = an_object(chances, "The probability of each class.")
    return found


def _kind(labels: Any) -> str | None:
    """The JSON type of all labels; None where they have several, or there are none."""
    kinds = {type(label) for label in labels}
    names = {str: "string", bool: "boolean", int: "integer"}
    return names.get(kinds.pop()) if len(kinds) == 1 else None


def _answer(signature: Signature | None, example: Any, known: dict[str, Schema]) -> dict[str, Any]:
    if signature is None:
        return {"prediction": {}}
    read = signature.outputs
    answer: dict[str, Any] = {"prediction": _prediction(signature, example, known)}
    if read.probabilities is not None:
        answer["probability"] = number("That of the prediction.", **_CHANCE)
        answer["probabilities"] = (
            ref("Probabilities")
            if "Probabilities" in known
            else {"type": "object", "additionalProperties": number(**_CHANCE)}
        )
    if read.extra or (read.unproved and read.probabilities):
        properties = {
            extra.name: _values(signature.result(extra.name), extra) for extra in read.extra
        }
        answer["outputs"] = {
            "type": "object",
            "description": "The graph's other outputs for this record, by name; null for a number that is "
            "not finite.",
            "properties": properties,
        }
    return answer


def _prediction(signature: Signature, example: Any, known: dict[str, Schema]) -> Schema:
    labels = signature.class_labels
    if signature.outputs.value is not None:
        several = example is not None and isinstance(example["prediction"], list)
        value = {"type": "array", "items": number()} if several else number()
        return {**value, "description": "What the model computes."}
    if signature.outputs.several:
        said = "One label for each target, in their order."
        return {"type": "array", "items": {}, "description": said}
    if "ClassLabel" in known:
        return ref("ClassLabel")
    return {"enum": list(labels)} if labels else {}


def _values(port: Port, extra: ExtraOutput) -> Schema:
    """One row of an output: a value, or lists of them, nested as its other axes are."""
    inner = [size for axis, size in enumerate(port.shape) if axis != extra.axis]
    if not port.shape:
        return {}
    kinds = {"float": "number", "doubl": "number", "bool)": "boolean", "strin": "string"}
    kind = kinds.get(port.type.rpartition("tensor(")[2][:5], "integer")
    schema: Schema = {"type": ["number", "null"] if kind == "number" else kind}
    for _ in inner if inner != [1] else ():
        schema = {"type": "array", "items": schema}
    return schema
