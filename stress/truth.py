"""Expected answers of each version, and checks of the real ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import msgspec

# ONNX Runtime's linear classifier sums in another order for several rows than for one, and the
# predictor batches rows: the tolerance is two units in the last place of a float32 below 1.
ONE_ROW_OR_MANY = 2 * 2.0**-24
_NOTHING: dict[str, Any] = {}

Record = Mapping[str, float | str]


class WrongAnswerError(Exception):
    """An answer differs from the one of the version that it names."""


@dataclass(frozen=True)
class Reference:
    """The answers of one version: class to probability, for each record in order."""

    onnx_sha256: str
    probabilities: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class Truth:
    """The clients' records, and each version's answers to them.

    `references` are those of versions 1, 2, …; later versions are registered from the same files
    in turn, so number 6 answers as 1. `tolerance` is the allowed difference of a probability.
    """

    model_name: str
    records: tuple[Record, ...]
    references: tuple[Reference, ...]
    tolerance: float = ONE_ROW_OR_MANY

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the graph's probabilities."""
        return list(self.references[0].probabilities[0])

    def of(self, version: str) -> Reference:
        """The answers of a version number."""
        return self.references[(int(version) - 1) % len(self.references)]

    def only(self, records: Sequence[int]) -> "Truth":
        """A copy with some of the records."""
        references = tuple(
            Reference(each.onnx_sha256, tuple(each.probabilities[n] for n in records))
            for each in self.references
        )
        picked = tuple(self.records[n] for n in records)
        return replace(self, records=picked, references=references)

    def difference(self, record: int) -> float:
        """The smallest difference between two versions' probabilities for a record."""
        answers = [reference.probabilities[record] for reference in self.references]
        return min(
            abs(one[label] - other[label])
            for one, other in combinations(answers, 2)
            for label in one
        )

    def first(self, body: bytes) -> None:
        """Check an answer to the first record. Raises WrongAnswerError."""
        self.prediction(body, [0])

    def first_unversioned(self, body: bytes) -> None:
        """Check the first record of a server that serves version 1 and names no version. Raises WrongAnswerError."""
        self._row(_object(body), "1", 0)

    def prediction(self, body: bytes, records: Sequence[int]) -> str:
        """Check an answer to one record; return its version. Raises WrongAnswerError."""
        answer = _object(body)
        version = self._version(answer)
        self._row(answer, version, records[0])
        return version

    def batch(self, body: bytes, records: Sequence[int]) -> str:
        """Check an answer to several records: all rows are from the version that it names."""
        answer = _object(body)
        version = self._version(answer)
        rows = answer.get("predictions", [])
        if len(rows) != len(records):
            raise WrongAnswerError(f"{len(records)} records got {len(rows)} answers")
        for row, record in zip(rows, records, strict=True):
            self._row(row, version, record)
        return version

    def ready(self, body: bytes, _: Sequence[int]) -> str:
        """Check `/ready`."""
        return self._version(_object(body))

    def model(self, body: bytes, _: Sequence[int]) -> str:
        """Check `/model`: the digest is the one of the version's file."""
        serving = _object(body).get("serving") or _NOTHING
        version = self._version(serving)
        self._digest(version, str(serving.get("digest")).removeprefix("sha256:"))
        return version

    def metrics(self, body: bytes, _: Sequence[int]) -> str:
        """Check `/metrics`: both version gauges of one scrape agree."""
        text = body.decode()
        gauge = re.search(r"^predictor_model_version\{.*\} (\d+)", text, re.MULTILINE)
        info = re.search(
            r'^predictor_model_info\{.*digest="(\w+)".*version="(\d+)"', text, re.MULTILINE
        )
        if gauge is None or info is None or gauge[1] != info[2]:
            raise WrongAnswerError(f"the gauges are {gauge and gauge[0]} and {info and info[0]}")
        self._digest(info[2], info[1])
        return info[2]

    def openapi(self, body: bytes, _: Sequence[int]) -> None:
        """Check `/openapi.json`: it names the features."""
        schemas = _object(body).get("components", _NOTHING).get("schemas", _NOTHING)
        if set(schemas.get("Record", _NOTHING).get("properties", ())) != set(self.records[0]):
            raise WrongAnswerError("/openapi.json does not name the features of the model")

    def health(self, body: bytes, _: Sequence[int]) -> None:
        """Check `/health`."""
        if _object(body) != {"status": "ok"}:
            raise WrongAnswerError(f"/health answers {body[:100]!r}")

    def _version(self, answer: Mapping[str, Any]) -> str:
        version = str(answer.get("model_version"))
        if answer.get("model_name") != self.model_name or not version.isdecimal():
            raise WrongAnswerError(f"an answer names {answer.get('model_name')} {version}")
        return version

    def _digest(self, version: str, digest: str) -> None:
        if digest != self.of(version).onnx_sha256:
            raise WrongAnswerError(f"version {version} has the wrong digest {digest}")

    def _row(self, row: Mapping[str, Any], version: str, record: int) -> None:
        right = self.of(version).probabilities[record]
        given = row.get("probabilities") or {}
        prediction = str(row.get("prediction"))
        if (
            given.keys() != right.keys()
            or any(abs(given[label] - p) > self.tolerance for label, p in right.items())
            or prediction not in right
            or right[prediction] < max(right.values()) - self.tolerance
            or row.get("probability") != given[prediction]
        ):
            raise WrongAnswerError(
                f"record {record}, version {version}: {given} {prediction}, expected {right}"
            )


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise WrongAnswerError(f"not a JSON object ({error}): {body[:100]!r}") from error
