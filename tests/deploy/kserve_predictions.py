"""A prediction by each of KServe's clients: run by the clients' own Python.

Arguments: the addresses for REST and, or an empty text, gRPC; a model's name; an API key; one row as JSON.
"""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)

rest, grpc, model, key, row = sys.argv[1:]
HEADERS = {"authorization": f"Bearer {key}"}


def request(name):
    rows = np.array([json.loads(row)], np.float32)
    given = InferInput(name, list(rows.shape), "FP32")
    given.set_data_from_numpy(rows, binary_data=False)
    return InferRequest(model_name=model, infer_inputs=[given])


def found(response):
    outputs = {each.name: each.as_numpy().tolist() for each in response.outputs}
    return {
        "label": [each.decode() if isinstance(each, bytes) else each for each in outputs["label"]],
        "probabilities": outputs["probabilities"],
    }


def input_name():
    response = httpx.get(f"{rest}/v2/models/{model}", headers=HEADERS)
    return response.raise_for_status().json()["inputs"][0]["name"]


async def main():
    name = input_name()
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    answers = {"ready": await client.is_server_ready(rest)}
    answers["rest"] = found(
        await client.infer(rest, request(name), model_name=model, headers=HEADERS)
    )
    if grpc:
        stub = InferenceGRPCClient(grpc)
        answers["grpc ready"] = await stub.is_server_ready()
        answers["grpc"] = found(await stub.infer(request(name), headers=tuple(HEADERS.items())))
        await stub.close()
    print(json.dumps(answers), flush=True)


asyncio.run(main())
