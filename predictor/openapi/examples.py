"""Examples in the OpenAPI document: recorded records of the serving version, and its real responses."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from predictor.model.servable import Servable
from predictor.model.signature import label_name

Record = Mapping[str, Any]
_BLANK = "blank"


class Examples:
    """Records and responses of one version, by name: one for each class that has a recorded example.

    Unless `recorded`, the only record is blank, because recorded ones may be patients'. There is no record
    if the model was never run.
    """

    def __init__(self, servable: Servable | None, *, recorded: bool = True) -> None:
        self.records: dict[str, Record] = {}
        self.responses: dict[str, Any] = {}
        if servable is not None:
            self.records = dict(_records(servable, recorded=recorded))
            computed = {name: _response(servable, each) for name, each in self.records.items()}
            self.responses = {name: each for name, each in computed.items() if each is not None}

    @property
    def record(self) -> Record | None:
        """The first record."""
        return next(iter(self.records.values()), None)

    @property
    def response(self) -> Any:
        """The first response; None without one."""
        return next(iter(self.responses.values()), None)


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the names of records, in the form of a document's `examples`."""
    return {name: {"summary": _summary(name), "value": each} for name, each in values.items()}


def _records(servable: Servable, *, recorded: bool) -> Iterator[tuple[str, Record]]:
    if servable.examples and recorded:
        labels = servable.signature.class_labels
        for label in labels:
            for example in servable.examples:
                if example.prediction == label:
                    yield label_name(label), example.record
                    break
        if not labels:
            yield "recorded", servable.examples[0].record
    elif not servable.signature.outputs.unverified:
        yield _BLANK, {feature.name: feature.blank for feature in servable.signature.features}


def _response(servable: Servable, record: Record) -> Any:
    row = servable.decoder.record(msgspec.json.encode(record))
    (body,) = servable.encoder.each(servable.answer([row]), servable.ranges.outside([row]))
    return None if isinstance(body, Exception) else msgspec.json.decode(body)


def _summary(name: str) -> str:
    if name == _BLANK:
        return "Every feature is blank: the model accepts it, but the result means nothing"
    return f"A record that was stored with this version: {name}"
