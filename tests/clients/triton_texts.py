"""What `tritonclient[http]` is told by a model of one input per column, texts among them."""

import json
import sys

import numpy as np
import tritonclient.http as triton

address, model = sys.argv[1:]
client = triton.InferenceServerClient(address)
COLUMNS = {
    "age": ("INT64", np.array([[40], [50]], np.int64)),
    "smoker": ("BOOL", np.array([[True], [False]])),
    "dose": ("FP64", np.array([[0.5], [0.25]])),
    "code": ("BYTES", np.array([["A"], ["ä"]], object)),
}
told = []
for binary in (True, False):
    inputs = []
    for name, (datatype, values) in COLUMNS.items():
        inputs.append(triton.InferInput(name, values.shape, datatype))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    outputs = [triton.InferRequestedOutput("value", binary_data=binary)]
    told.append(client.infer(model, inputs, outputs=outputs).as_numpy("value").tolist())
print(json.dumps(told), flush=True)
