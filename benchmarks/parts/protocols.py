"""Compare each inference protocol with `/predict`: the same record, on one predictor."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from struct import Struct
from typing import Any

import msgspec

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import CONNECTIONS, Rounds, interleaved
from benchmarks.registry import Published, publish
from benchmarks.subject import Subject
from predictor.keys import line_of
from stress.truth import Truth, WrongAnswerError

PREDICT = "/predict"
INFER = "/v2 infer, JSON"
WITH_KEY = "/predict with an API key"
WITH_ORIGIN = "/predict from a page of an allowed origin"
LIMITS: Mapping[str, float] = {
    INFER: 0.5,
    "/v2 infer, bytes": 0.7,
    "/invocations, dataframe_records": 0.4,
    "/invocations, dataframe_split": 0.4,
    "/invocations, CSV": 0.4,
    "/predict/batch of 1": 0.5,
    "/predict/batch of 10": 0.25,
    WITH_KEY: 0.9,
    WITH_ORIGIN: 0.9,
}
"""Targets: minimum requests per second, relative to `/predict`."""

_LENGTH = "Inference-Header-Content-Length"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Protocols:
    """Rounds by number of connections, then by protocol."""

    loads: dict[int, Rounds]


@dataclass(frozen=True)
class Form:
    """A request for the first record in one protocol, and its response check."""

    path: str
    body: bytes
    check: Callable[[bytes], object]
    headers: Mapping[str, str]


def run(context: BenchContext) -> Protocols:
    """Measure the logistic regression."""
    context.print_step("Protocols")
    published = publish(context.mlflow_url, context.folder, "protocols", [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        predict = servers.predictor(scope, published)
        subjects = {PREDICT: predict}
        for number, (name, form) in enumerate(forms(published.truth).items()):
            body = predict.body.with_name(f"protocol-{number}")
            body.write_bytes(form.body)
            subjects[name] = _subject(predict, name, form, body)
        subjects |= _other_settings(scope, published)
        return Protocols(interleaved(context.plan.brief, subjects, CONNECTIONS))


def _other_settings(context: BenchContext, published: Published) -> dict[str, Subject]:
    """Predictors that need an API key, or allow pages of another origin; each with such requests."""
    file, key, origin = context.folder / "api-keys", "benchmark", "https://app.example"
    file.write_text(line_of("benchmark", key))
    found = {}
    for name, setting, value, header in (
        (WITH_KEY, "PREDICTOR_API_KEYS_FILE", str(file), {"X-API-Key": key}),
        (WITH_ORIGIN, "PREDICTOR_CORS_ORIGINS", origin, {"Origin": origin}),
    ):
        predict = servers.predictor(context, published, {setting: value})
        found[name] = replace(predict, name=name, headers={**_JSON, **header})
    return found


def _subject(predict: Subject, name: str, form: Form, body: Any) -> Subject:
    return replace(
        predict, name=name, path=form.path, body=body, check=form.check, headers=form.headers
    )


def forms(truth: Truth) -> dict[str, Form]:
    """The first record in each protocol; by name, as in `LIMITS`."""
    record = truth.records[0]
    names, values = list(record), list(record.values())
    infer, outputs = f"/v2/models/{truth.model_name}/infer", partial(_check_outputs, truth)
    tensor = {"name": "features", "shape": [1, len(values)], "datatype": "FP32"}
    raw = Struct(f"<{len(values)}f").pack(*values)
    head = _encode({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]})
    bytes_headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(head))}
    table = {"dataframe_split": {"columns": names, "data": [values]}}
    found = [
        Form(infer, _encode({"inputs": [{**tensor, "data": values}]}), outputs, _JSON),
        Form(infer, head + raw, outputs, bytes_headers),
    ]
    scored = partial(_check_scored, truth)
    for body, kind in (
        (_encode({"dataframe_records": [record]}), "application/json"),
        (_encode(table), "application/json"),
        (_csv(names, values), "text/csv"),
    ):
        found.append(Form("/invocations", body, scored, {"Content-Type": kind}))
    for rows in (1, 10):
        batch = _encode({"instances": [record] * rows})
        check = partial(truth.batch, records=[0] * rows)
        found.append(Form("/predict/batch", batch, check, _JSON))
    return dict(zip(LIMITS, found, strict=False))


def _csv(*lines: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _encode(body: Any) -> bytes:
    return msgspec.json.encode(body)


def _check_outputs(truth: Truth, body: bytes) -> None:
    """Check a response of `/v2`. Raises WrongAnswerError."""
    response = msgspec.json.decode(body)
    outputs = {each["name"]: each["data"] for each in response["outputs"]}
    check_row(truth, response["model_version"], outputs["label"][0], outputs["probabilities"])


def _check_scored(truth: Truth, body: bytes) -> None:
    """Check a response of `/invocations`, which names its version in a header field."""
    (row,) = msgspec.json.decode(body)["predictions"]
    check_row(truth, "1", row["label"], row["probabilities"])


def check_row(truth: Truth, version: str, label: str, probabilities: Sequence[float]) -> None:
    """Check the prediction for the first record. Raises WrongAnswerError."""
    right = truth.of(version).probabilities[0]
    near = all(
        abs(one - other) <= truth.tolerance
        for one, other in zip(probabilities, right.values(), strict=True)
    )
    if not near or right[label] < max(right.values()) - truth.tolerance:
        raise WrongAnswerError(f"{label} {probabilities}, expected {right}")
