"""The schemas of records and of predictions, for the version that serves."""

from collections.abc import Iterable, Sequence
from typing import Any

from predictor.model.servable import Servable
from predictor.model.signature import ExtraOutput, Feature, Port, Signature, label_name
from predictor.model.training_ranges import FeatureProfile
from predictor.openapi.operations import ref
from predictor.openapi.schemas import VERSION, Schema, an_object, number

WARNING: dict[str, Any] = {
    "type": "object",
    "description": "A value outside the range of the training data: the answer extrapolates.",
    "properties": {
        "feature": {"type": "string"},
        "value": {"type": "number"},
        "minimum": {"type": "number", "description": "The least value in the training data."},
        "maximum": {"type": "number", "description": "The greatest."},
        "message": {"type": "string", "description": "The same, for people."},
    },
    "required": ["feature", "value", "minimum", "maximum", "message"],
}
_WARNINGS = {
    "type": "array",
    "minItems": 1,
    "items": {"$ref": "#/components/schemas/Warning"},
    "description": "Absent where every value is within the range of the training data.",
}
ASKED: dict[str, Any] = {
    "name": "warnings",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether predictions carry `warnings` of values outside the training data.",
}
"""The parameter of `/predict/batch`."""


def with_warnings(prediction: dict[str, Any]) -> dict[str, Any]:
    """The schema of a prediction that may have warnings."""
    return {**prediction, "properties": {**prediction["properties"], "warnings": _WARNINGS}}


_IGNORED: Schema = {
    "type": ["string", "number", "boolean", "null"],
    "description": "Ignored by this version: a column of its signature that the model does not take.",
    "x-ignored": True,
}


def record(servable: Servable | None) -> Schema:
    """A record of the serving version: every feature, in the order in which the model has them.

    Where its values lay in training is told, and is no bound: values beyond are answered. OpenAPI has
    no groups of properties: `x-groups` names them in order, `x-group` says it of a feature.
    """
    if servable is None:
        return {"type": "object", "description": "No version serves now, so no feature is known."}
    features, profiles = servable.signature.features, servable.profiles
    profile_of = {profile.name: profile for profile in profiles}
    properties = {f.name: _property(f, profile_of.get(f.name)) for f in features}
    signature = servable.signature
    properties |= dict.fromkeys(signature.ignored, _IGNORED)
    optional = signature.may_be_missing
    groups = _groups(profiles)
    named = ", ".join(f"{group} ({len(names)})" for group, names in groups.items())
    required = f"{len(optional)} of which may be missing" if optional else "all of them required"
    many = f"{len(features)} features, {required}"
    described = an_object(
        properties,
        f"{many}, in groups: {named}." if groups else f"{many}.",
        optional=[*optional, *signature.ignored],
        additionalProperties=servable.decoder.fields.ignore_unknown,
    )
    if groups:
        described["x-groups"] = [{"name": g, "features": names} for g, names in groups.items()]
    return described


def _groups(profiles: Sequence[FeatureProfile]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for profile in profiles:
        if profile.group:
            found.setdefault(profile.group, []).append(profile.name)
    return found


def _property(feature: Feature, profile: FeatureProfile | None) -> Schema:
    described: Schema = {"type": feature.type if feature.required else [feature.type, "null"]}
    if feature.minimum is not None:
        described |= {"minimum": feature.minimum, "maximum": feature.maximum}
    sentences = [*_said(profile), *_fits(feature)]
    if sentences:
        described["description"] = " ".join(sentences)
    return described | (_extensions(profile) if profile else {})


def _said(profile: FeatureProfile | None) -> Iterable[str]:
    if profile is None:
        return
    if profile.description:
        yield _sentence(profile.description)
    if profile.group:
        yield f"Group: {profile.group}."
    if profile.unit:
        yield f"Unit: {profile.unit}."
    seen = [f"{name} {value:g}" for name, value in _range(profile).items()]
    if seen:
        yield f"In the training data: {', '.join(seen)}."


def _fits(feature: Feature) -> Iterable[str]:
    if feature.type == "number":
        yield f"Finite, and within the range of {feature.dtype}."
    if not feature.required:
        yield "May be missing: absent, or null."


def _extensions(profile: FeatureProfile) -> dict[str, Any]:
    told = {"x-group": profile.group, "x-unit": profile.unit, "x-training-range": _range(profile)}
    return {name: value for name, value in told.items() if value}


def _range(profile: FeatureProfile) -> dict[str, float]:
    seen = {"minimum": profile.minimum, "median": profile.median, "maximum": profile.maximum}
    return {name: value for name, value in seen.items() if value is not None}


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


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
