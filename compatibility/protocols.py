"""The four protocols: how rows are sent to each, and how what comes back is compared with ONNX Runtime."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any

import httpx

MODEL = "tried"
Case = Mapping[str, Any]
"""What `case.json` has: features, rows, inputs, outputs, onnx_answers, library_answers."""


@dataclass(frozen=True)
class Compared:
    """The largest relative difference, and the outputs of the graph that were not in the answer."""

    difference: float
    missing: tuple[str, ...] = ()


class Refused(Exception):
    """A protocol refuses rows that the library and ONNX Runtime answer."""

    def __init__(self, response: httpx.Response) -> None:
        """With what the service says."""
        text = " ".join(response.text.split())
        super().__init__(f"HTTP {response.status_code} {text[:300]}")


def difference(expected: Any, answered: Any) -> float:
    """The largest difference between numbers, relative above 1; infinite where anything else differs.

    A list of one element is that element: protocols differ in how they write a column.
    """
    left, right = [*_flat(expected)], [*_flat(answered)]
    if len(left) != len(right):
        return math.inf
    return max(map(_apart, left, right), default=0.0)


def _apart(expected: Any, answered: Any) -> float:
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
    """The rows by the names that clients know; a missing value is null."""
    return [dict(zip(case["features"], row, strict=True)) for row in case["rows"]]


def answers(case: Case, told: Sequence[Mapping[str, Any]], whose: str) -> float:
    """How far the answers of `/predict` are from `onnx_answers` or `library_answers`."""
    expected = case[whose]
    apart = difference(expected["predictions"], [each["prediction"] for each in told])
    if expected["probabilities"] and "probabilities" in told[0]:
        given = [each["probabilities"] for each in told]
        apart = max(apart, difference(expected["probabilities"], given))
    return apart


def predict(client: httpx.Client, case: Case) -> list[dict[str, Any]]:
    """One request a row."""
    return [_posted(client, "/predict", record) for record in records(case)]


def compare_predict(client: httpx.Client, case: Case) -> Compared:
    """`/predict`, with what ONNX Runtime gives for each row alone."""
    return _compare_predictions(predict(client, case), {**case, **case["alone"]})


def compare_batch(client: httpx.Client, case: Case) -> Compared:
    """`/predict/batch` with all rows in one request."""
    told = _posted(client, "/predict/batch", {"instances": records(case)})
    return _compare_predictions(told["predictions"], case)


def _compare_predictions(told: Sequence[Mapping[str, Any]], case: Case) -> Compared:
    """Predictions and probabilities, and the graph's other outputs where they are in the answer."""
    apart = answers(case, told, "onnx_answers")
    missing = []
    if case["onnx_answers"]["probabilities"] and "probabilities" not in told[0]:
        missing.append("probabilities")
    for name in case["others"]:
        if name not in told[0].get("outputs", {}):
            missing.append(name)
        elif len(case["outputs"][name]) == len(told):
            apart = max(
                apart, difference(case["outputs"][name], [e["outputs"][name] for e in told])
            )
    return Compared(apart, tuple(missing))


def compare_v2(client: httpx.Client, case: Case) -> Compared:
    """All rows as the graph's own inputs; floats with gaps as bytes, because JSON has no NaN."""
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
    told = {
        output["name"]: _by_row(output, len(case["rows"])) for output in response.json()["outputs"]
    }
    return _compare_outputs(case, told)


def _by_row(output: Mapping[str, Any], count: int) -> list[Any]:
    """A tensor's elements with the rows first: [targets, N, classes] becomes [N, targets, classes]."""
    shape, data = output["shape"], output["data"]
    if len(shape) != 3 or shape[0] == count or shape[1] != count:  # noqa: PLR2004
        return list(data)
    targets, _, classes = shape
    return [
        [data[(target * count + row) * classes :][:classes] for target in range(targets)]
        for row in range(count)
    ]


def compare_invocations(client: httpx.Client, case: Case) -> Compared:
    """A frame, as `mlflow models serve` takes it; each row's answer has the graph's outputs by name."""
    frame = {"columns": case["features"], "data": case["rows"]}
    told = _posted(client, "/invocations", {"dataframe_split": frame})["predictions"]
    names = told[0] if isinstance(told, list) else told
    rows = {
        name: [each[name] for each in told] if isinstance(told, list) else told[name]
        for name in names
    }
    return _compare_outputs(case, rows)


def _compare_outputs(case: Case, told: Mapping[str, Any]) -> Compared:
    """The graph's outputs by name; a map of probabilities may come as a table."""
    apart = 0.0
    for name, rows in told.items():
        expected = case["outputs"][name]
        if isinstance(expected[0], Mapping) and not isinstance(rows[0], Mapping):
            expected = [list(row.values()) for row in expected]
        apart = max(apart, difference(expected, rows))
    return Compared(apart, tuple(name for name in case["outputs"] if name not in told))


def _posted(client: httpx.Client, path: str, body: Any) -> Any:
    response = client.post(path, json=body)
    if response.status_code != httpx.codes.OK:
        raise Refused(response)
    return response.json()


DOORS: dict[str, Callable[[httpx.Client, Case], Compared]] = {
    "/predict": compare_predict,
    "/predict/batch": compare_batch,
    "/v2": compare_v2,
    "/invocations": compare_invocations,
}
