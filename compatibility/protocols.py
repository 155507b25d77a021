"""Send rows by each of the four protocols, and compare the responses with ONNX Runtime."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any

import httpx

MODEL = "tested"
Case = Mapping[str, Any]
"""The content of `case.json`: features, rows, inputs, outputs, onnx_answers, library_answers."""


@dataclass(frozen=True)
class Compared:
    """The largest relative difference, and the graph's outputs that the response lacks."""

    difference: float
    missing: tuple[str, ...] = ()


class Refused(Exception):
    """A protocol refused rows that ONNX Runtime accepts."""

    def __init__(self, response: httpx.Response) -> None:
        """The message contains the service's response."""
        text = " ".join(response.text.split())
        super().__init__(f"HTTP {response.status_code} {text[:300]}")


def difference(expected: Any, answered: Any) -> float:
    """The largest difference between numbers, relative above 1; infinite if anything else differs.

    A list of one element equals that element, because protocols write columns differently.
    """
    left, right = [*_flat(expected)], [*_flat(answered)]
    if len(left) != len(right):
        return math.inf
    return max(map(_value_difference, left, right), default=0.0)


def _value_difference(expected: Any, answered: Any) -> float:
    if isinstance(expected, str) or isinstance(answered, str):
        return 0.0 if expected == answered else math.inf
    if expected is None or answered is None:
        return 0.0 if expected is answered else math.inf
    return abs(expected - answered) / max(1.0, abs(expected))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield key
            yield from _flat(value[key])
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def records(case: Case) -> list[dict[str, Any]]:
    """The rows as records; a missing value is null."""
    return [dict(zip(case["features"], row, strict=True)) for row in case["rows"]]


def prediction_difference(
    case: Case, responses: Sequence[Mapping[str, Any]], expected_key: str
) -> float:
    """The difference between the responses of `/predict` and `onnx_answers` or `library_answers`."""
    expected = case[expected_key]
    largest = difference(expected["predictions"], [each["prediction"] for each in responses])
    if expected["probabilities"] and "probabilities" in responses[0]:
        given = [each["probabilities"] for each in responses]
        largest = max(largest, difference(expected["probabilities"], given))
    return largest


def predict(client: httpx.Client, case: Case) -> list[dict[str, Any]]:
    """The responses of `/predict`, one request per row."""
    return [_posted(client, "/predict", record) for record in records(case)]


def compare_predict(client: httpx.Client, case: Case) -> Compared:
    """Compare `/predict` with ONNX Runtime's answers for single rows."""
    return _compare_predictions(predict(client, case), {**case, **case["alone"]})


def compare_batch(client: httpx.Client, case: Case) -> Compared:
    """Compare `/predict/batch`, with all rows in one request."""
    response = _posted(client, "/predict/batch", {"instances": records(case)})
    return _compare_predictions(response["predictions"], case)


def _compare_predictions(responses: Sequence[Mapping[str, Any]], case: Case) -> Compared:
    """Compare predictions, probabilities and the graph's other outputs."""
    largest = prediction_difference(case, responses, "onnx_answers")
    missing = []
    if case["onnx_answers"]["probabilities"] and "probabilities" not in responses[0]:
        missing.append("probabilities")
    for name in case["others"]:
        if name not in responses[0].get("outputs", {}):
            missing.append(name)
        elif len(case["outputs"][name]) == len(responses):
            largest = max(
                largest, difference(case["outputs"][name], [e["outputs"][name] for e in responses])
            )
    return Compared(largest, tuple(missing))


def compare_v2(client: httpx.Client, case: Case) -> Compared:
    """Compare `/v2`, with all rows as the graph's inputs; floats with gaps are sent as bytes (JSON has no NaN)."""
    tensors, raw = [], b""
    for tensor in case["inputs"]:
        described = dict(tensor)
        if None in tensor["data"] and tensor["datatype"] != "BYTES":
            values = [math.nan if value is None else value for value in described.pop("data")]
            packed = pack(f"<{len(values)}{'f' if tensor['datatype'] == 'FP32' else 'd'}", *values)
            described["parameters"] = {"binary_data_size": len(packed)}
            raw += packed
        tensors.append(described)
    head = json.dumps({"inputs": tensors}).encode()
    headers = {"Content-Type": "application/json"}
    if raw:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
    response = client.post(f"/v2/models/{MODEL}/infer", content=head + raw, headers=headers)
    if response.status_code != httpx.codes.OK:
        raise Refused(response)
    outputs = {
        output["name"]: _by_row(output, len(case["rows"])) for output in response.json()["outputs"]
    }
    return _compare_outputs(case, outputs)


def _by_row(output: Mapping[str, Any], count: int) -> list[Any]:
    """A tensor's elements by row: [targets, N, classes] becomes [N, targets, classes]."""
    shape, data = output["shape"], output["data"]
    if len(shape) != 3 or shape[0] == count or shape[1] != count:  # noqa: PLR2004
        return list(data)
    targets, _, classes = shape
    return [
        [data[(target * count + row) * classes :][:classes] for target in range(targets)]
        for row in range(count)
    ]


def compare_invocations(client: httpx.Client, case: Case) -> Compared:
    """Compare `/invocations`, with all rows as a `dataframe_split`."""
    frame = {"columns": case["features"], "data": case["rows"]}
    responses = _posted(client, "/invocations", {"dataframe_split": frame})["predictions"]
    names = responses[0] if isinstance(responses, list) else responses
    rows = {
        name: [each[name] for each in responses] if isinstance(responses, list) else responses[name]
        for name in names
    }
    return _compare_outputs(case, rows)


def _compare_outputs(case: Case, outputs: Mapping[str, Any]) -> Compared:
    """Compare the graph's outputs by name; a map of probabilities may be a table."""
    largest = 0.0
    for name, rows in outputs.items():
        expected = case["outputs"][name]
        if isinstance(expected[0], Mapping) and not isinstance(rows[0], Mapping):
            expected = [list(row.values()) for row in expected]
        largest = max(largest, difference(expected, rows))
    return Compared(largest, tuple(name for name in case["outputs"] if name not in outputs))


def _posted(client: httpx.Client, path: str, body: Any) -> Any:
    response = client.post(path, json=body)
    if response.status_code != httpx.codes.OK:
        raise Refused(response)
    return response.json()


PROTOCOLS: dict[str, Callable[[httpx.Client, Case], Compared]] = {
    "/predict": compare_predict,
    "/predict/batch": compare_batch,
    "/v2": compare_v2,
    "/invocations": compare_invocations,
}
