"""`/v2/…` over HTTP: what is asked is answered as `/predict` answers it; what is wrong is named."""

import asyncio
import json
from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.protocols.open_inference.body import read
from predictor.protocols.open_inference.errors import InvalidInference
from predictor.protocols.open_inference.inference import Target
from tests.predictor.graphs import GOOD, OURS, classifier, regressor
from tests.predictor.live import Live
from tests.predictor.protocols.predict.test_warnings import KNOWING

INFER = "/v2/models/m/infer"
LENGTH = "Inference-Header-Content-Length"
X = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 0.0]}
ROW = np.array([[1, 0]], "<f4").tobytes()


def binary(size=8, **changed):
    tensor = {name: value for name, value in X.items() if name != "data"}
    return {**tensor, "parameters": {"binary_data_size": size}, **changed}


async def ask(live, body, raw=None, path=INFER, **headers):
    """An answer to a request; `raw` are the bytes behind its JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    if raw is not None:
        headers = {LENGTH: str(len(content)), **headers}
    return await live.client.post(path, content=content + (raw or b""), headers=headers)


async def refused(live, body, raw=None, code=400, **headers):
    answer = await ask(live, body, raw, **headers)
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    (said,) = answer.json().items()
    assert said[0] == "error"
    return said[1]


async def test_metadata_say_what_is_served(live):
    """By name, and by the version that serves."""
    server = (await live.client.get("/v2")).json()
    assert server["extensions"] == ["binary_tensor_data"]
    model = {
        "name": "m", "versions": ["7"], "platform": "onnx_onnxv1",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }  # fmt: skip
    for path in ("/v2/models/m", "/v2/models/m/versions/7"):
        assert (await live.client.get(path)).json() == model
        assert (await live.client.get(f"{path}/ready")).json() == {"name": "m", "ready": True}
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert (await live.client.get(path)).json() == {"live": True, "ready": True}


async def test_an_answer_is_that_of_predict(live):
    """The same numbers, to the last digit; in its own shape, with the id."""
    told = (await live.client.post("/predict", json=GOOD)).json()
    answer = await ask(live, {"id": "a", "inputs": [X], "parameters": {"priority": 3}})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "model_name": "m", "model_version": "7", "id": "a",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": [told["prediction"]]},
            {
                "name": "probabilities", "datatype": "FP32", "shape": [1, 2],
                "data": [*told["probabilities"].values()],
            },
        ],
    }  # fmt: skip
    by_name = [{"name": name, "shape": [1], "datatype": "FP64", "data": [v]} for name, v in GOOD.items()]  # fmt: skip
    by_version = f"{INFER.removesuffix('/infer')}/versions/7/infer"
    for inputs, path in (([X], by_version), (by_name, INFER), (by_name[::-1], INFER)):
        other = await ask(live, {"id": "a", "inputs": inputs}, path=path)
        assert other.json() == answer.json()


@pytest.mark.parametrize("rows", [2, 600, 5000])
async def test_several_rows(live, rows):
    """On the loop, in a thread, and with a body that is read in one: flat, nested and as bytes."""
    table = np.arange(rows * 2, dtype="<f4").reshape(rows, 2) / 1000
    listed = (
        await live.client.post(
            "/predict/batch",
            json={"instances": [dict(zip(GOOD, row, strict=True)) for row in table[:600].tolist()]},
        )
    ).json()["predictions"]
    scores = [list(each["probabilities"].values()) for each in listed]
    inputs = [
        {**X, "shape": [rows, 2], "data": table.ravel().tolist()},
        {**X, "shape": [rows, 2], "data": table.tolist()},
        binary(rows * 8, shape=[rows, 2]),
    ]
    raws = [None, None, table.tobytes()]
    for tensor, raw in zip(inputs, raws, strict=True):
        answer = await ask(live, {"inputs": [tensor]}, raw)
        label, probabilities = answer.json()["outputs"]
        assert label["shape"] == [rows]
        assert probabilities["shape"] == [rows, 2]
        assert label["data"][:600] == [each["prediction"] for each in listed]
        assert np.allclose(np.reshape(probabilities["data"], (-1, 2))[:600], scores, atol=1e-6)


async def test_outputs_as_bytes(live):
    """Each as it is asked for; the header field says where the JSON ends."""
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    plain = (await ask(live, {"inputs": [X]})).json()["outputs"]
    answer = await ask(live, {"inputs": [binary()], "outputs": wanted}, ROW)
    assert answer.headers["content-type"] == "application/octet-stream"
    end = int(answer.headers[LENGTH])
    scores, label = json.loads(answer.content[:end])["outputs"]
    assert scores["parameters"] == {"binary_data_size": 8}
    assert "data" not in scores
    assert np.frombuffer(answer.content[end:], "<f4").tolist() == plain[1]["data"]
    assert label == plain[0]

    every = {"inputs": [X], "parameters": {"binary_data_output": True}}
    answer = await ask(live, every)
    assert answer.content[int(answer.headers[LENGTH]) :] == b"\x09\0\0\0malignant" + pack(
        "<2f", *plain[1]["data"]
    )
    but_one = {**every, "outputs": [{"name": "label", "parameters": {"binary_data": False}}]}
    answer = await ask(live, but_one)
    assert LENGTH not in answer.headers
    assert answer.json()["outputs"] == plain[:1]


@pytest.mark.parametrize(
    ("body", "raw", "reason"),
    [
        (b"", None, "the body is not valid JSON"),
        (b"{", None, "the body is not valid JSON"),
        (b"[]", None, "Expected `object`, got `array`"),
        (b"{}", None, "Object missing required field `inputs`"),
        (b'{"inputs":[]}', None, "input `X` is missing; the model takes `X` FP32 [-1,2]"),
        (b'{"inputs":[{"data":' + b"[" * 99_000 + b"]" * 99_000 + b"}]}", None, "nested too deeply"),
        (b'{"inputs":[],"parameters":' + b'{"a":' * 50_000, None, "nested too deeply"),
        (b'{"inputs":[],"inputs":[]}', None, "`inputs` is given twice in one object"),
        (b'{"id":"a:","id":"b","inputs":[]}', None, "`id` is given twice"),
        ({"inputs": [X], "output": []}, None, "Object contains unknown field `output`"),
        ({"inputs": {}}, None, "inputs: Expected `array`, got `object`"),
        ({"inputs": [{**X, "dtype": "x"}]}, None, "inputs[0]: Object contains unknown field `dty"),
        ({"inputs": [{**X, "shape": [1, -2]}]}, None, "inputs[0].shape[1]: Expected `int` >= 0"),
        ({"inputs": [{**X, "shape": [1, 2.0]}]}, None, "inputs[0].shape[1]: Expected `int`, got `f"),
        ({"inputs": [{**X, "shape": [True, 2]}]}, None, "inputs[0].shape[0]: Expected `int`, got `b"),
        ({"inputs": [{**X, "shape": [10**40, 2]}]}, None, "inputs[0].shape[0]: Expected `int` <="),
        ({"inputs": [{**X, "shape": "1,2"}]}, None, "inputs[0].shape: Expected `array`, got `str`"),
        ({"inputs": [{**X, "shape": [2, 2]}]}, None, "input `X`: 2 elements; the shape needs 4"),
        ({"inputs": [{**X, "name": None}]}, None, "inputs[0].name: Expected `str`, got `null`"),
        ({"inputs": [{**X, "datatype": 1}]}, None, "inputs[0].datatype: Expected `str`"),
        ({"inputs": [{**X, "data": None}]}, None, "inputs[0].data: expected a list"),
        ({"inputs": [{**X, "data": {"a": 1}}]}, None, "inputs[0].data: expected a list"),
        ({"inputs": [{**X, "data": [[1.0], [0.0]]}]}, None, "inputs[0].data: its lists are not nested"),
        ({"inputs": [{**X, "data": [[1.0, 0.0], [1.0]]}]}, None, "inputs[0].data: its lists are not nested"),
        ({"inputs": [{**X, "data": [[1.0, 0.0], 1.0]}]}, None, "inputs[0].data: its lists are not nested"),
        ({"inputs": [{**X, "data": [[[1.0], [0.0]]]}]}, None, "inputs[0].data: expected elements, got"),
        ({"inputs": [{**X, "data": [{}, 1.0]}]}, None, "inputs[0].data: expected elements, got"),
        ({"inputs": [{**X, "data": [[]] * 20_000}]}, None, "inputs[0].data: its lists are not nested"),
        ({"inputs": [{**X, "data": [{}] * 20_000}]}, None, "inputs[0].data: expected elements, got"),
        (b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"BYTES","data":["[\0","{"]}]}', None, "the body is not valid JSON"),
        ({"inputs": [{**X, "data": [1.0, True]}]}, None, "input `X`: element 1: expected a number"),
        (b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,1e400]}]}', None,
         "inputs[0].data[1]: Number out of range"),
        (b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}', None,
         "the body is not valid JSON"),
        (b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,"\xff"]}]}', None,
         "the body is not valid JSON"),
        ({"inputs": [{k: v for k, v in X.items() if k != "data"}]}, None, "inputs[0].data: missing, for"),
        ({"inputs": [X, X]}, None, "input `X` is given twice"),
        ({"inputs": [X], "outputs": [{"name": "y"}]}, None, "unknown output `y`"),
        ({"inputs": [X], "outputs": [{"name": "label"}] * 2}, None, "output `label` is requested twice"),
        ({"inputs": [X], "outputs": [{}]}, None, "outputs[0]: Object missing required field `name`"),
        ({"inputs": [X], "id": 7}, None, "id: Expected `str`, got `int`"),
        ({"inputs": [X], "parameters": []}, None, "parameters: Expected `object`, got `array`"),
        ({"inputs": [X], "parameters": {"binary_data_output": 1}}, None,
         "parameters.binary_data_output: expected true or false"),
        ({"inputs": [X], "outputs": [{"name": "label", "parameters": {"binary_data": "x"}}]}, None,
         "outputs[0].parameters.binary_data: expected true or false"),
        ({"inputs": [X], "outputs": [{"name": "label", "parameters": {"classification": 2}}]}, None,
         "outputs[0].parameters.classification: not supported; leave it out"),
        ({"inputs": [{**X, "parameters": {"shared_memory_region": "r"}}]}, None,
         "inputs[0].parameters.shared_memory_region: not supported; leave it out"),
        ({"inputs": [binary()]}, None, "inputs[0]: send the header field"),
        ({"inputs": [binary()]}, ROW[:7], "inputs[0].parameters.binary_data_size: 8 bytes; the body has 7"),
        ({"inputs": [binary()]}, ROW + b"a", "the body has 1 bytes after the last input"),
        ({"inputs": [X]}, b"a", "the body has 1 bytes after the last input"),
        ({"inputs": [binary(7)]}, ROW[:7], "input `X`: 7 bytes; the shape and FP32 need 8"),
        ({"inputs": [binary(-8)]}, ROW, "inputs[0].parameters.binary_data_size: expected a number"),
        ({"inputs": [binary(True)]}, ROW, "inputs[0].parameters.binary_data_size: expected a number"),
        ({"inputs": [binary("8")]}, ROW, "inputs[0].parameters.binary_data_size: expected a number"),
        ({"inputs": [binary(10**30)]}, ROW, "inputs[0].parameters.binary_data_size: "),
        ({"inputs": [binary(data=[1.0, 0.0])]}, ROW, "inputs[0]: give `data` or `parameters.binary"),
        ({"inputs": [binary(datatype="FP64")]}, ROW, "input `X`: 8 bytes; the shape and FP64 need 16"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(live, body, raw, reason):
    """400, with the place; never 500."""
    assert reason in await refused(live, body, raw)


@pytest.mark.parametrize("length", ["", "-1", "x", "1.5", "99999", "9" * 5000, "²", "0"])
async def test_a_header_that_does_not_add_up(live, length):
    """The JSON ends within the body."""
    said = await refused(live, {"inputs": [binary()]}, ROW, **{LENGTH: length.encode("latin-1")})
    assert LENGTH in said or "not valid JSON" in said


async def test_a_header_that_is_given_twice(live):
    """Where the JSON ends must not depend on who reads the header."""
    head = json.dumps({"inputs": [binary()]}).encode()
    twice = [(LENGTH, str(len(head))), (LENGTH, str(len(head)))]
    answer = await live.client.post(INFER, content=head + ROW, headers=twice)
    assert answer.status_code == 400
    assert LENGTH in answer.json()["error"]


async def test_who_is_not_served_is_told_who_is(live):
    """404 for another model and for a version that does not serve."""
    for path in ("/v2/models/n", "/v2/models/m/versions/8", "/v2/models/m/versions/07"):
        for answer in (
            await live.client.get(path),
            await live.client.get(f"{path}/ready"),
            await ask(live, {"inputs": [X]}, path=f"{path}/infer"),
        ):
            assert answer.status_code == 404
            expected = "version 7 does" if "versions" in path else "model `n` is not served here"
            assert expected in answer.json()["error"]


async def test_other_errors_have_the_shape_of_the_protocol(live):
    """Of routing, of the body's size and type."""
    for answer, code in (
        (await live.client.get("/v2/models"), 404),
        (await live.client.get(INFER), 405),
        (await ask(live, b" " * 300_001), 413),
        (await ask(live, {"inputs": [X]}, **{"Content-Type": "text/plain"}), 415),
        (await ask(live, {"inputs": [X]}, **{"Content-Encoding": "gzip"}), 415),
        (await ask(live, b"", b"", **{"Content-Type": "application/x-www-form-urlencoded"}), 415),
    ):
        assert answer.status_code == code
        assert list(answer.json()) == ["error"]
    assert (await live.client.get(INFER)).headers["allow"] == "POST"
    for kind in ("application/json", "application/octet-stream", "application/json; charset=utf-8"):
        answer = await ask(live, {"inputs": [X]}, **{"Content-Type": kind})
        assert answer.status_code == 200


async def test_while_nothing_serves(tmp_path):
    """503 with when to come back, for this model; the process lives."""
    live = Live(tmp_path)
    for answer in (
        await live.client.get("/v2/health/ready"),
        await live.client.get("/v2/models/m"),
        await live.client.get("/v2/models/m/versions/7/ready"),
        await ask(live, {"inputs": [X]}),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]
    assert (await live.client.get("/v2/health/live")).json() == {"live": True, "ready": False}
    assert (await live.client.get("/v2/models/n")).status_code == 404
    await live.client.aclose()


async def test_a_version_is_answered_by_itself_or_not_at_all(live):
    """Also where another takes over while the request waits for its turn, or is read in a thread."""
    small = {"inputs": [X]}
    large = {"inputs": [{**X, "shape": [2000, 2], "data": [1.0, 0.0] * 2000}]}
    path = "/v2/models/m/versions/7/infer"
    for number in (8, 9):
        asked = [asyncio.create_task(ask(live, b, path=path)) for b in (small, large) * 5]
        await live.serve(number, classifier((-1.0, 1.0)))
        for answer in await asyncio.gather(*asked):
            assert answer.status_code in (200, 404)
            assert answer.status_code == 404 or answer.json()["model_version"] == "7"
        assert (await ask(live, small, path=path)).status_code == 404
        assert (await ask(live, small)).json()["model_version"] == str(number)
        await live.serve(7, OURS)


async def test_a_row_without_an_answer_is_named(tmp_path):
    """400, as it is the values that the model cannot answer."""
    live = Live(tmp_path)
    await live.serve(1, regressor())
    huge = {"name": "X", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 1.0, 3e38, 3e38]}
    assert "row 1: the model has no finite answer" in await refused(live, {"inputs": [huge]})
    huge = {**huge, "shape": [1, 2], "data": [3e38, 3e38]}
    assert "the model has no finite answer" in await refused(live, {"inputs": [huge]})
    await live.client.aclose()
    await live.reconciler.close()


async def test_warnings_where_they_are_asked_for(live):
    """Of the rows with a value that the training data did not reach, as `/predict` says them."""
    await live.serve(8, KNOWING)
    record = dict.fromkeys(GOOD, 1000.0)
    expected = (await live.client.post("/predict", json=record)).json()["warnings"]
    assert expected
    far = {**X, "data": list(record.values())}
    both = {**X, "shape": [2, 2], "data": [1.0, 0.0, *record.values()]}
    for tensor, row in ((far, 0), (both, 1)):
        plain = (await ask(live, {"inputs": [tensor]})).json()
        warned = (await ask(live, {"inputs": [tensor], "parameters": {"warnings": True}})).json()
        found = warned.pop("parameters")["warnings"]
        assert [each for each in found if each["row"] == row] == [
            {"row": row, **each} for each in expected
        ]
        assert warned == plain
    odd = {"inputs": [X], "parameters": {"warnings": 1}}
    assert await refused(live, odd) == "parameters.warnings: expected true or false"


async def test_requests_are_counted(live):
    """By route, and rows by class, as those of `/predict` are."""
    await ask(live, {"inputs": [X]})
    await ask(live, {"inputs": [{**X, "shape": [2, 2], "data": [1.0, 0.0] * 2}]})
    await ask(live, {"inputs": []})
    samples = live.samples()
    endpoint = "/v2/models/{model}/infer"
    assert samples["predictor_requests_total", "200", endpoint] == 2
    assert samples["predictor_requests_total", "400", endpoint] == 1
    assert samples["predictor_predictions_total", "7", "malignant"] == 3


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "data", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["X", "mean_radius", "mean_texture", ""]) | _ANY,
        "shape": st.just([1, 2]) | st.lists(st.integers(-3, 2**64), max_size=3) | _ANY,
        "datatype": st.sampled_from(["FP32", "FP64", "INT8", "BOOL", "BYTES", "FP16"]) | _ANY,
    },
    optional={
        "data": st.lists(st.floats() | st.integers(), max_size=4) | _ANY,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20)}) | _ANY,
    },
)
_REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(_TENSOR, max_size=2) | _ANY}, optional={"id": _ANY, "outputs": _ANY}
)


@given(
    st.binary(max_size=60) | _REQUEST.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=20),
    st.none() | st.integers(-2, 20),
)
def test_no_body_makes_reading_fail(servable, body, raw, off):
    """It is a request that is computed, or one that is refused; there is no third."""
    length = None if off is None else str(len(body) + min(0, off))
    try:
        asked = read(body + (b"" if off is None else raw), length, Target("m"))
        rows = asked.inference.rows(servable)
    except InvalidInference:
        return
    assert len(servable.answer(rows)) == len(rows)


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    from tests.predictor.parts import servable_of

    return servable_of(tmp_path_factory.mktemp("v"), OURS)
