"""The schema of a record: what the features of the serving version are, and what was seen of each."""

from collections.abc import Iterable, Sequence
from typing import Any

from predictor.openapi.schemas import Schema, an_object
from predictor.records.profile import FeatureProfile
from predictor.servable import Servable
from predictor.signature import Feature

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
