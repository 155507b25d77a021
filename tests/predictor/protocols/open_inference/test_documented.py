"""The document's example of a request is answered with its example of an answer."""

import pytest

from tests.predictor.graphs import OURS, classifier, one_input_per_column, regressor


@pytest.mark.parametrize(
    "model", [OURS, classifier(), regressor(targets=3), one_input_per_column()]
)
async def test_the_example_works_unchanged(live, model):
    """Also for one input per column, and without a recorded record."""
    await live.serve(8, model)
    schemas = (await live.client.get("/openapi.json")).json()["components"]["schemas"]
    for path in ("/v2/models/m/infer", "/v2/models/m/versions/8/infer"):
        answer = await live.client.post(path, json=schemas["V2Request"]["example"])
        assert answer.json() == schemas["V2Response"]["example"]
