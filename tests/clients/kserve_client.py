"""What KServe's REST client is told: run by the clients' own Python, with an address and a model's name."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROWS = np.array([[1.0, 0.0], [0.25, 0.75]])
address, model = sys.argv[1:]
url = f"http://{address}"


def request(rows, datatype, *, binary, outputs=None):
    given = InferInput("X", list(rows.shape), datatype)
    given.set_data_from_numpy(rows, binary_data=binary)
    parameters = {"binary_data_output": binary}
    return InferRequest(
        model_name=model, infer_inputs=[given], request_id="a", parameters=parameters,
        request_outputs=outputs,
    )  # fmt: skip


async def ask():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    inferred = {}
    for datatype, dtype in (("FP32", "f4"), ("FP64", "f8")):
        for binary in (True, False):
            asked = request(ROWS.astype(dtype), datatype, binary=binary)
            answer = await client.infer(url, asked, model_name=model)
            label, scores = answer.outputs
            inferred[f"{datatype} {'bytes' if binary else 'JSON'}"] = {
                "id": answer.id,
                "label": label.data,
                "probabilities": scores.as_numpy().tolist(),
            }
    asked = request(ROWS, "FP64", binary=False, outputs=[RequestedOutput("label")])
    only = await client.infer(url, asked, model_name=model)
    try:
        await client.infer(url, asked, model_name="other")
        refused = None
    except httpx.HTTPStatusError as error:
        refused = [error.response.status_code, str(error)]
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, model),
        "other ready": await client.is_model_ready(url, "other"),
        "inferred": inferred,
        "only": [output.name for output in only.outputs],
        "refused": refused,
    }


print(json.dumps(asyncio.run(ask())), flush=True)
