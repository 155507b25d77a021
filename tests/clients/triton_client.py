"""What `tritonclient[http]` is told: run by the clients' own Python, with an address and a model's name.

It prints a document, waits for a line, and prints another.
"""

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.http.aio import InferenceServerClient as AsyncClient
from tritonclient.utils import InferenceServerException

ROWS = np.array([[1.0, 0.0], [0.25, 0.75]])
address, model = sys.argv[1:]
client = triton.InferenceServerClient(address)


def table(rows, datatype, *, binary):
    given = triton.InferInput("X", rows.shape, datatype)
    return [given.set_data_from_numpy(rows, binary_data=binary)]


def told(result):
    response = result.get_response()
    return {
        "version": response["model_version"],
        "id": response.get("id"),
        "label": [
            each.decode() if isinstance(each, bytes) else each for each in result.as_numpy("label")
        ],
        "probabilities": result.as_numpy("probabilities").tolist(),
        "dtype": str(result.as_numpy("probabilities").dtype),
    }


def refused(ask):
    try:
        ask()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


async def asynchronously():
    async with AsyncClient(address) as other:
        asked = [
            other.infer(model, table(ROWS.astype("f4"), "FP32", binary=b))
            for b in (True, False) * 10
        ]
        return [told(result) for result in await asyncio.gather(*asked)]


inferred = {}
for datatype, dtype in (("FP32", "f4"), ("FP64", "f8")):
    for binary in (True, False):
        for rows in (ROWS[:1], ROWS):
            inputs = table(rows.astype(dtype), datatype, binary=binary)
            outputs = [
                triton.InferRequestedOutput(n, binary_data=binary)
                for n in ("label", "probabilities")
            ]
            key = f"{datatype} {'bytes' if binary else 'JSON'} {len(rows)}"
            inferred[key] = told(client.infer(model, inputs, outputs=outputs, request_id=key))
inferred["all outputs"] = told(client.infer(model, table(ROWS.astype("f4"), "FP32", binary=True)))

many = np.tile(ROWS.astype("f4"), (5000, 1))
large = told(client.infer(model, table(many, "FP32", binary=True)))
good = table(ROWS.astype("f4"), "FP32", binary=True)
unknown = [triton.InferRequestedOutput("score")]
print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready(model),
            "version ready": client.is_model_ready(model, "7"),
            "other ready": [client.is_model_ready("other"), client.is_model_ready(model, "8")],
            "server": client.get_server_metadata(),
            "model": client.get_model_metadata(model),
            "inferred": inferred,
            "asynchronously": asyncio.run(asynchronously()),
            "many": [len(large["label"]), large["label"][:2], large["probabilities"][-2:]],
            "refused": {
                "model": refused(lambda: client.infer("other", good)),
                "version": refused(lambda: client.infer(model, good, "8")),
                "metadata": refused(lambda: client.get_model_metadata("other")),
                "output": refused(lambda: client.infer(model, good, outputs=unknown)),
                "shape": refused(
                    lambda: client.infer(model, table(ROWS[:, :1], "FP64", binary=False))
                ),
                "compressed": refused(
                    lambda: client.infer(model, good, request_compression_algorithm="gzip")
                ),
            },
        }
    ),
    flush=True,
)

input()
print(
    json.dumps(
        {
            "after": told(client.infer(model, good))["version"],
            "before": refused(lambda: client.infer(model, good, "7")),
        }
    )
)
