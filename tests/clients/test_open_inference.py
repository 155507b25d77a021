"""Stock clients of the Open Inference Protocol work here as they are installed."""

import pytest

from tests.predictor.graphs import GOOD, OURS, classifier, one_input_per_column
from tests.predictor.live import Live

ROWS = [[1.0, 0.0], [0.25, 0.75]]


@pytest.fixture
async def live(tmp_path):
    """A service on a socket, with version 7 of our own."""
    made = Live(tmp_path)
    await made.serve(7, OURS)
    async with made.on_socket():
        yield made
    await made.reconciler.close()


@pytest.fixture
async def predicted(live):
    """What `/predict` says of both rows: the label, and the probabilities in the order of the classes."""
    answers = []
    for row in ROWS:
        answer = (await live.client.post("/predict", json=dict(zip(GOOD, row, strict=True)))).json()
        answers.append((answer["prediction"], list(answer["probabilities"].values())))
    return answers


def address(live):
    return f"127.0.0.1:{live.client.base_url.port}"


async def test_tritonclient(live, predicted, script):
    """Metadata, health, tensors as JSON and as bytes, errors, and a swap between two calls."""
    running = await script("triton_client.py", address(live), "m")
    said = await running.said()
    assert [said[name] for name in ("live", "ready", "model ready", "version ready")] == [True] * 4
    assert said["other ready"] == [False, False]
    assert said["server"]["extensions"] == ["binary_tensor_data"]
    assert said["model"]["versions"] == ["7"]
    assert said["model"]["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}]

    labels, scores = map(list, zip(*predicted, strict=True))
    assert len(said["inferred"]) == 9
    for key, told in said["inferred"].items():
        rows = 1 if key.endswith(" 1") else 2
        assert told["label"] == labels[:rows], key
        assert told["probabilities"] == scores[:rows], key
        assert (told["version"], told["dtype"]) == ("7", "float32")
        assert told["id"] == (None if key == "all outputs" else key)
    assert len(said["asynchronously"]) == 20
    for told in said["asynchronously"]:
        assert (told["label"], told["probabilities"]) == (labels, scores)
    assert said["many"] == [10_000, labels, scores]

    refused = said["refused"]
    assert (
        refused["model"]
        == refused["metadata"]
        == ["404", "model `other` is not served here; `m` is"]
    )
    assert refused["version"] == ["404", "version `8` of `m` does not serve; version 7 does"]
    assert refused["output"][0] == "400"
    assert refused["output"][1].startswith("unknown output `score`; the model gives `label`")
    assert refused["shape"] == ["400", "input `X`: its shape is [2,1]; expected [N,2]"]
    assert refused["compressed"][0] == "415"

    await live.serve(8, classifier((-1.0, 1.0)))
    running.go_on()
    said = await running.said()
    assert said["after"] == "8"
    assert said["before"] == ["404", "version `7` of `m` does not serve; version 8 does"]


async def test_tritonclient_with_texts(live, script):
    """Integers, booleans, doubles and texts, each as JSON and as bytes."""
    await live.serve(9, one_input_per_column())
    expected = [[40 + 1 + 0.5 + 100], [50 + 0 + 0.25 - 1]]
    assert await (await script("triton_texts.py", address(live), "m")).said() == [expected] * 2


async def test_kserve(live, predicted, script):
    """Health, tensors as JSON and as bytes, requested outputs and errors."""
    said = await (await script("kserve_client.py", address(live), "m")).said()
    assert [said[name] for name in ("live", "ready", "model ready")] == [True] * 3
    assert said["other ready"] is False
    labels, scores = map(list, zip(*predicted, strict=True))
    assert len(said["inferred"]) == 4
    for told in said["inferred"].values():
        assert told == {"id": "a", "label": labels, "probabilities": scores}
    assert said["only"] == ["label"]
    assert said["refused"][0] == 404
    assert "model `other` is not served here; `m` is" in said["refused"][1]
