"""What the answers must be; a server that answers fast and wrong has no speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stress.truth import Record, Reference

# float32 noise: ONNX Runtime adds several rows up in another order than one.
_TOLERANCE = 1e-6


class WrongError(Exception):
    """An answer that is not what ONNX Runtime alone gives for the same record and version."""


@dataclass(frozen=True)
class Right:
    """The records, and what versions 1, 2, … of the model answer to them."""

    model_name: str
    records: tuple[Record, ...]
    references: tuple[Reference, ...]

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the graph's scores."""
        return list(self.references[0].probabilities[0])

    def single(self, body: bytes) -> None:
        """Check the predictor's answer to the first record. Raises WrongError."""
        answer = _object(body)
        self._row(answer, self._version(answer), 0)

    def batch(self, body: bytes, records: Sequence[int]) -> None:
        """Check its answer to these records. Raises WrongError."""
        answer = _object(body)
        rows = answer.get("predictions", ())
        if len(rows) != len(records):
            raise WrongError(f"{len(rows)} answers to {len(records)} records")
        version = self._version(answer)
        for row, record in zip(rows, records, strict=True):
            self._row(row, version, record)

    def unversioned(self, body: bytes) -> None:
        """Check an answer of a server that has but the first version. Raises WrongError."""
        self._row(_object(body), 0, 0)

    def _version(self, answer: Mapping[str, Any]) -> int:
        version = int(answer.get("model_version", 0)) - 1
        if answer.get("model_name") != self.model_name or version not in range(
            len(self.references)
        ):
            raise WrongError(f"{answer.get('model_name')} {answer.get('model_version')} answered")
        return version

    def _row(self, row: Mapping[str, Any], version: int, record: int) -> None:
        right = self.references[version].probabilities[record]
        given = row.get("probabilities", {})
        if given.keys() != right.keys() or any(
            abs(given[label] - probability) > _TOLERANCE for label, probability in right.items()
        ):
            raise WrongError(f"record {record}: {given}, it should be {right}")
        if given.get(row.get("prediction")) != max(given.values()):
            raise WrongError(f"record {record}: {row.get('prediction')} of {given}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise WrongError(f"not a JSON object ({error}): {body[:100]!r}") from error
