"""What is made once for each servable does not keep it in memory."""

import json
import weakref

import pytest

from predictor.inference.compute import read_and_compute
from predictor.protocols.mlflow_scoring.invocation import Invocations
from predictor.protocols.open_inference.inference import Target
from predictor.protocols.open_inference.rest import Infer
from predictor.protocols.predict.records import OneRecord
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.parts import servable_of

TENSOR = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 1.5]}


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (OneRecord(), GOOD),
        (Invocations("json"), {"dataframe_records": [GOOD]}),
        (Infer(Target("m")), {"inputs": [TENSOR]}),
        (Infer(Target("m", "1")), {"inputs": [TENSOR], "parameters": {"binary_data_output": True}}),
    ],
)
def test_a_version_that_was_swapped_out_is_freed(tmp_path, protocol, body):
    """At once, without the garbage collector, whichever protocol has used it."""
    servable = servable_of(tmp_path, OURS)
    (result,) = read_and_compute(servable, [protocol], [json.dumps(body).encode()]).results
    assert not isinstance(result, Exception)
    freed = weakref.ref(servable)
    del servable
    assert freed() is None
