"""What a script does with the client that was generated from /openapi.json: `client`, beside it.

Arguments: the service's address, and a record.
"""

import json
import sys

from client import Client
from client.api.operations import get_model, get_readiness
from client.api.predictions import predict, predict_batch
from client.models import (
    ClassLabel,
    Model,
    Prediction,
    Predictions,
    Problem,
    Readiness,
    Record,
    Records,
)

url, given = sys.argv[1:]
client = Client(base_url=url)
record = Record.from_dict(json.loads(given))

answer = predict.sync(client=client, body=record)
assert isinstance(answer, Prediction)
label: ClassLabel = answer.prediction
chance: float = answer.probabilities.malignant

beyond = Record.from_dict({**json.loads(given), "mean_radius": 99})
several = predict_batch.sync(client=client, body=Records(instances=[record, beyond]), warnings=True)
assert isinstance(several, Predictions)

wrong = Record.from_dict({**json.loads(given), "mean_radius": None})
refused = predict.sync_detailed(client=client, body=wrong)
problem = refused.parsed
assert isinstance(problem, Problem)

ready = get_readiness.sync(client=client)
assert isinstance(ready, Readiness)
asked = get_model.sync_detailed(client=client)
assert isinstance(asked.parsed, Model)
again = get_model.sync_detailed(client=client, if_none_match=asked.headers["etag"])
serving = asked.parsed.serving

told = {
    "label": label.value,
    "chance": chance,
    "version": answer.model_version,
    "several": [each.prediction.value for each in several.predictions],
    "warned": [each.feature for each in several.predictions[1].warnings or ()],
    "status": refused.status_code.value,
    "field": problem.errors[0].field if problem.errors else None,
    "ready": ready.model_version,
    "serving": serving.model_version if serving else None,
    "again": again.status_code.value,
}
print(json.dumps(told))
