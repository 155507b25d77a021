"""The body of an answer to an inference request, as REST carries it."""

from typing import Any

import msgspec

from predictor.open_inference.datatypes import to_bytes
from predictor.open_inference.inference import Inferred
from predictor.open_inference.request import Asked
from predictor.records.ranges import Warnings

_encode = msgspec.json.Encoder().encode


def write(asked: Asked, inferred: Inferred) -> tuple[bytes, int | None]:
    """The body, and how many bytes of it are JSON; None where all are.

    Numbers in JSON are written as `/predict` writes them.
    """
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for tensor in inferred.outputs:
        output: dict[str, Any] = {
            "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
        }  # fmt: skip
        outputs.append(output)
        if asked.binary.get(tensor.name, asked.all_binary):
            raw = to_bytes(tensor.datatype, tensor.data)
            output["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            output["data"] = tensor.data
    said: dict[str, Any] = {
        "model_name": inferred.version.name,
        "model_version": inferred.version.version,
    }
    if asked.id is not None:
        said["id"] = asked.id
    if inferred.warnings:
        said["parameters"] = {"warnings": _listed(inferred.warnings)}
    head = _encode({**said, "outputs": outputs})
    return (b"".join([head, *behind]), len(head)) if behind else (head, None)


def _listed(warnings: Warnings) -> list[dict[str, Any]]:
    return [
        {"row": row, **msgspec.structs.asdict(each)}
        for row, found in sorted(warnings.items())
        for each in found
    ]
