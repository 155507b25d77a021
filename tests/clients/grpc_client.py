"""A stock `tritonclient.grpc`, run by an environment that has nothing of the service's.

Reads commands from standard input, one JSON list a line, and answers each with one JSON value:
`["describe", name]`, `["protocol"]`, `["infer", name, version, rows, id]`, `["columns", name, {feature: value}]`,
`["stream", name, rows, ids, version]`, which sends the rows one by one by a stream, `["flow", name, row]`, which asks without a pause until a call fails, and says how it went.
"""

import json
import queue
import sys
from collections import Counter

import numpy as np
import tritonclient.grpc as triton
from message_fields import described  # beside this file, which is run as a script
from tritonclient.grpc import service_pb2


class Asking:
    """One client of one server."""

    def __init__(self, address: str) -> None:
        self.client = triton.InferenceServerClient(address)
        self.outputs = []

    def describe(self, name: str) -> object:
        client = self.client
        model = client.get_model_metadata(name, as_json=True)
        self.input, self.outputs = model["inputs"][0]["name"], [o["name"] for o in model["outputs"]]
        live = [client.is_server_live(), client.is_server_ready(), client.is_model_ready(name)]
        return {"live": live, "server": client.get_server_metadata(as_json=True), "model": model}

    def protocol(self) -> object:
        return dict(described(service_pb2.DESCRIPTOR.message_types_by_name.values()))

    def infer(self, name: str, version: str, rows: list, request_id: str) -> object:
        table = np.array(rows, np.float32)
        tensor = triton.InferInput(self.input, table.shape, "FP32")
        tensor.set_data_from_numpy(table)
        return self._answer(name, [tensor], model_version=version, request_id=request_id)

    def columns(self, name: str, values: dict) -> object:
        tensors = []
        for feature, value in values.items():
            tensor = triton.InferInput(feature, [1], "FP64")
            tensor.set_data_from_numpy(np.array([value], np.float64))
            tensors.append(tensor)
        wanted = [triton.InferRequestedOutput(output) for output in reversed(self.outputs)]
        return self._answer(name, tensors, outputs=wanted)

    def _answer(self, name: str, inputs: list, **how) -> object:
        try:
            result = self.client.infer(name, inputs, **how)
        except triton.InferenceServerException as error:
            return {"status": error.status(), "message": error.message()}
        return self._result(result)

    def _result(self, result: triton.InferResult) -> object:
        said = result.get_response()
        return {
            "version": said.model_version,
            "id": said.id,
            "outputs": [output.name for output in said.outputs],
            **{name: _plain(result.as_numpy(name)) for name in self.outputs},
        }

    def stream(self, name: str, rows: list, ids: list, version: str) -> object:
        answers = queue.Queue()
        self.client.start_stream(lambda result, error: answers.put((result, error)))
        for row, request_id in zip(rows, ids, strict=True):
            tensor = triton.InferInput(self.input, [1, len(row)], "FP32")
            tensor.set_data_from_numpy(np.array([row], np.float32))
            how = {"request_id": request_id, "model_version": version}
            self.client.async_stream_infer(name, [tensor], **how)
        answered = [answers.get(timeout=30) for _ in rows]
        self.client.stop_stream()
        return [
            {"message": error.message()} if error else self._result(result)
            for result, error in answered
        ]

    def flow(self, name: str, row: list) -> object:
        versions = Counter()
        while "message" not in (answer := self.infer(name, "", [row], "")):
            if not versions:
                print(json.dumps("flowing"), flush=True)
            versions[answer["version"]] += 1
        return {"versions": versions, **answer}


def _plain(array: np.ndarray) -> list:
    return [each.decode() if isinstance(each, bytes) else each for each in array.tolist()]


if __name__ == "__main__":
    asking = Asking(sys.argv[1])
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(getattr(asking, command)(*arguments)), flush=True)
