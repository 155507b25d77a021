"""The Open Inference Protocol in the OpenAPI document, with an example of the version that serves."""

from collections.abc import Mapping
from typing import Any

import msgspec

from predictor.model.servable import Servable
from predictor.model.signature import Feature
from predictor.openapi.examples import Examples
from predictor.openapi.schemas import Part, components
from predictor.protocols.open_inference.body import V2Request, V2Response
from predictor.protocols.open_inference.errors import V2Error
from predictor.protocols.open_inference.outputs import (
    V2Health,
    V2Model,
    V2Ready,
    V2Server,
    inputs,
    outputs_of,
)


def describe(servable: Servable | None, examples: Examples) -> Part:
    """The bodies of `/v2`, with one example where a record of the version is known."""
    schemas = components(V2Server, V2Health, V2Ready, V2Error, V2Model, V2Request, V2Response)
    if servable is not None:
        # Not an enumeration: a generated client would need a different identifier for each name.
        signature = servable.signature
        names = [port.name for port in signature.ports]
        names += [feature.name for feature in signature.features]
        listed = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        schemas["V2Input"]["properties"]["name"]["description"] = f"One of {listed}."
        if examples.record is not None:
            for name, body in _examples(servable, examples.record).items():
                schemas[name]["example"] = body
    return Part(schemas)


def _examples(servable: Servable, record: Mapping[str, Any]) -> dict[str, Any]:
    """A request with one row in the graph's own inputs, and its response; nothing where that is an error."""
    signature = servable.signature
    values = [_element(record.get(feature.name), feature) for feature in signature.features]
    tensors = []
    for port in inputs(signature):
        width = port.shape[-1] if len(port.shape) > 1 else 1
        shape = [1, *port.shape[1:]]
        own, values = values[:width], values[width:]
        tensors.append({"name": port.name, "datatype": port.datatype, "shape": shape, "data": own})
    answers = servable.answer([servable.decoder.record(msgspec.json.encode(record))])
    if answers.errors:
        return {}
    version = servable.model_version
    outputs = [
        {"name": each.name, "datatype": each.datatype, "shape": each.shape, "data": each.data}
        for each in outputs_of(signature, answers, ())
    ]
    named = {"model_name": version.name, "model_version": version.version, "id": "1"}
    return {
        "V2Request": {"id": "1", "inputs": tensors},
        "V2Response": {**named, "outputs": outputs},
    }


def _element(value: Any, feature: Feature) -> Any:
    """In a tensor of numbers, true is 1."""
    return int(value) if isinstance(value, bool) and feature.dtype != "bool" else value
