"""Records and predictions in the OpenAPI document, for the version that serves."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from predictor.errors import InvalidRecord
from predictor.model.operating_point import OperatingPoint
from predictor.model.servable import Servable
from predictor.model.signature import ExtraOutput, Feature, Port, Signature, label_name
from predictor.model.training_ranges import FeatureProfile, OutOfRange
from predictor.openapi.examples import Examples, named
from predictor.openapi.schemas import Part, Schema, Versioned, an_object, components, number, ref

_VERSION: Schema = components(Versioned)["Versioned"]["properties"]
_ALL = {"summary": "All examples of one record, in one request"}


def describe(servable: Servable | None, examples: Examples) -> Part:
    """The bodies of `/predict` and `/predict/batch`."""
    record = _record(servable)
    if examples.record is not None:
        record["example"] = examples.record
    instances = {"type": "array", "minItems": 1, "items": ref("Record")}
    records = an_object({"instances": instances}, "Several records.", additionalProperties=False)
    schemas = {"Record": record, "Records": records, **_predictions(servable, examples.response)}
    if servable is None or not examples.responses:
        return Part(schemas)
    batch = {"instances": [*examples.records.values()]}
    return Part(
        schemas,
        {
            "Record": named(examples.records),
            "Prediction": named(examples.responses),
            "Records": {"several": {**_ALL, "value": batch}},
            "Predictions": {"several": {**_ALL, "value": _batch_response(examples)}},
        },
        dict(_refusals(servable, dict(next(iter(examples.records.values()))))),
    )


def _batch_response(examples: Examples) -> dict[str, Any]:
    not_in_rows = {*_VERSION, "warnings"}
    rows = [
        {name: each for name, each in response.items() if name not in not_in_rows}
        for response in examples.responses.values()
    ]
    return {"predictions": rows, **{name: examples.response[name] for name in _VERSION}}


def _refusals(servable: Servable, record: dict[str, Any]) -> Iterable[tuple[str, InvalidRecord]]:
    """The errors of a record without its first feature, whose last one is null; alone, and in a batch."""
    names = list(record)
    faulty = dict.fromkeys(names[1:][-1:]) | {name: record[name] for name in names[1:-1]}
    batch = {"instances": [record, faulty]}
    decoder = servable.decoder
    for schema, read, body in (
        ("Record", decoder.record, faulty),
        ("Records", decoder.instances, batch),
    ):
        try:
            read(msgspec.json.encode(body))
        except InvalidRecord as error:
            yield schema, error


_IGNORED: Schema = {
    "type": ["string", "number", "boolean", "null"],
    "description": "Ignored by this version: a column of its signature that is not an input of the graph.",
    "x-ignored": True,
}


def _record(servable: Servable | None) -> Schema:
    """A record of the serving version: every feature, in the model's order.

    The range of the training data is shown, and is not a bound. OpenAPI has no groups of properties:
    `x-groups` lists them in order, and `x-group` is the group of a feature. `x-order` has the order where programs
    that put names of digits first would lose it, as JavaScript does.
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
    if any(map(str.isdigit, properties)):
        described["x-order"] = [*properties]
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
    sentences = [*_sentences(profile), *_bounds(feature)]
    if sentences:
        described["description"] = " ".join(sentences)
    return described | (_extensions(profile) if profile else {})


def _sentences(profile: FeatureProfile | None) -> Iterable[str]:
    if profile is None:
        return
    if profile.description:
        yield _sentence(profile.description)
    if profile.group:
        yield f"Group: {profile.group}."
    if profile.unit:
        yield f"Unit: {profile.unit}."
    if known := _range(profile):
        listed = ", ".join(f"{name} {value:g}" for name, value in known.items())
        yield f"In the training data: {listed}."


def _bounds(feature: Feature) -> Iterable[str]:
    if feature.type == "number":
        yield f"Finite, and within the range of {feature.dtype}."
    if not feature.required:
        yield "May be missing: absent, or null."


def _extensions(profile: FeatureProfile) -> dict[str, Any]:
    known = {"x-group": profile.group, "x-unit": profile.unit, "x-training-range": _range(profile)}
    return {name: value for name, value in known.items() if value}


def _range(profile: FeatureProfile) -> dict[str, float]:
    known = {"minimum": profile.minimum, "median": profile.median, "maximum": profile.maximum}
    return {name: value for name, value in known.items() if value is not None}


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


_CHANCE: Schema = {"minimum": 0, "maximum": 1}
_WARNINGS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": ref(OutOfRange),
    "description": "Absent where every value is within the range of the training data.",
}


def _predictions(servable: Servable | None, example: Any) -> dict[str, Schema]:
    """The schemas of responses. `example` is a response, where one is known."""
    prediction = prediction_schema(
        servable, example, "A prediction, with its model version.", _VERSION
    )
    if example:
        prediction["example"] = example
    rows = {
        "type": "array",
        "items": ref("RowPrediction"),
        "description": "One for each record, in their order.",
    }
    return {
        **(_classes(servable.signature) if servable else {}),
        **(_operating_point(servable.operating_point) if servable else {}),
        **components(OutOfRange),
        "Prediction": prediction,
        "RowPrediction": prediction_schema(
            servable, example, "The prediction for one record of several."
        ),
        "Predictions": an_object(
            {"predictions": rows, **_VERSION}, "Predictions, all from one version."
        ),
    }


def prediction_schema(
    servable: Servable | None, example: Any, description: str, further: Schema | None = None
) -> Schema:
    """The schema of a prediction, with further properties. `example` is a response, where one is known."""
    signature = servable.signature if servable else None
    properties = {**_answer(signature, example), **(further or {}), "warnings": _WARNINGS}
    if servable and servable.operating_point:
        properties["operating_point"] = ref("OperatingPoint")
    optional = ["outputs", "warnings"]
    if (
        signature and signature.outputs.unverified
    ):  # each row shows whether its scores are probabilities
        optional += ["probability", "probabilities", "operating_point"]
    required = [name for name in properties if name not in optional]
    return {**an_object(properties, description), "required": required}


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
        if signature.positive_class is not None:
            found["Probabilities"]["x-positive-class"] = signature.positive_class
    return found


def _operating_point(point: OperatingPoint | None) -> dict[str, Schema]:
    """The schema of a comparison, if the version has an operating point.

    `x-operating-point` has the threshold, and what it found among held-out rows.
    """
    if point is None:
        return {}
    properties: dict[str, Schema] = {
        "class": ref("ClassLabel"),
        "threshold": number(**_CHANCE),
        "above": {"type": "boolean"},
    }
    text = (
        f"Whether the probability of {point.name} is at least {point.threshold}, the threshold of this "
        "version, whatever the prediction is."
    )
    measured = {"held_out": point.held_out, "grey_zone": point.grey_zone}
    extension = {
        "class": point.name,
        "threshold": point.threshold,
        **{name: msgspec.to_builtins(each) for name, each in measured.items() if each},
    }
    return {"OperatingPoint": {**an_object(properties, text), "x-operating-point": extension}}


def _kind(labels: Any) -> str | None:
    """The JSON type of all labels; None where they have several, or there are none."""
    kinds = {type(label) for label in labels}
    names = {str: "string", bool: "boolean", int: "integer"}
    return names.get(kinds.pop()) if len(kinds) == 1 else None


def _answer(signature: Signature | None, example: Any) -> dict[str, Schema]:
    if signature is None:
        return {"prediction": {}}
    read, known = signature.outputs, _classes(signature)
    answer: dict[str, Any] = {"prediction": _prediction(signature, example, known)}
    if read.probabilities is not None:
        answer["probability"] = number("The probability of the prediction.", **_CHANCE)
        answer["probabilities"] = (
            ref("Probabilities")
            if "Probabilities" in known
            else {"type": "object", "additionalProperties": number(**_CHANCE)}
        )
    if read.extra or (read.unverified and read.probabilities):
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
        text = "One label for each target, in their order."
        return {"type": "array", "items": {}, "description": text}
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
