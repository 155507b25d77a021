"""Every output of a graph, on every door: what ONNX Runtime gives for the file is what is told."""

import functools
import json
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from onnx import helper
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC, OneClassSVM

from predictor.errors import LoadError
from predictor.model.artifact import Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt, Servable
from predictor.protocols.open_inference.datatypes import from_bytes
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.methods import methods
from tests.predictor.graphs import OPSETS, classifier, graph, tensor
from tests.predictor.live import Live
from tests.predictor.parts import servable_of, version

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3)).astype(np.float32)
SIGN = (X[:, 0] > 0).astype(int)
THREE = RANDOM.integers(0, 3, 60)
BOTH = np.c_[SIGN, X[:, 1] > 0].astype(int)
TEXTS = np.c_[np.where(SIGN, "yes", "no"), np.array(["red", "green", "blue"])[THREE]]
ROWS = X[:3]


@functools.cache
def exported(name: str) -> bytes:
    estimator, target, options = {
        "outliers": (IsolationForest(n_estimators=5, random_state=0), None, {}),
        "one class": (OneClassSVM(), None, {}),
        "local outliers": (LocalOutlierFactor(novelty=True), None, {}),
        "clusters": (KMeans(3, n_init=1, random_state=0), None, {}),
        "mixture": (GaussianMixture(2, random_state=0), None, {"score_samples": True}),
        "margin": (LinearSVC(), SIGN, {}),
        "margins": (LinearSVC(), THREE, {}),
        "ridge": (RidgeClassifier(), SIGN, {"zipmap": False}),
        "vectors": (SVC(), THREE, {"zipmap": False}),
        "margins by class": (SVC(), THREE, {}),
        "deviation": (GaussianProcessRegressor(), X[:, 0], {"return_std": True}),
        "targets": (MultiOutputClassifier(LogisticRegression()), BOTH, {"zipmap": False}),
        "texts": (MultiOutputClassifier(LogisticRegression()), TEXTS, {"zipmap": False}),
        "neighbours": (KNeighborsClassifier(3), BOTH, {"zipmap": False}),
        "forest": (RandomForestClassifier(5, random_state=0), BOTH, {"zipmap": False}),
        "labels": (OneVsRestClassifier(LogisticRegression()), BOTH, {"zipmap": False}),
        "network": (MLPClassifier((4,), random_state=0), BOTH, {"zipmap": False}),
        "leaves": (
            RandomForestClassifier(3, random_state=0), SIGN,
            {"zipmap": False, "decision_leaf": True, "decision_path": True},
        ),
        "leaves of a value": (
            RandomForestRegressor(3, random_state=0), X[:, 0], {"decision_leaf": True},
        ),
        "columns": (LogisticRegression(), SIGN, {"zipmap": "columns"}),
    }[name]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, target)
        return to_onnx(
            estimator, X[:1], options={id(estimator): options}, target_opset=OPSETS
        ).SerializeToString()


NAMES = [
    "outliers", "one class", "local outliers", "clusters", "mixture", "margin", "margins", "ridge",
    "vectors", "margins by class", "deviation", "targets", "texts", "neighbours", "forest", "labels", "network", "leaves",
    "leaves of a value", "columns",
]  # fmt: skip


def is_by_class(given: Any) -> bool:
    """Whether an output is a map for each row, which is a table to clients that want tensors."""
    return isinstance(given, list) and isinstance(given[0], dict)


def direct(model: bytes, rows: Any) -> dict[str, Any]:
    """What ONNX Runtime gives."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model, options)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: rows}), strict=True))


def by_row(given: Any, rows: int) -> list[Any]:
    """An output's rows, as `/predict` tells them."""
    if is_by_class(given):
        return [{str(label): score for label, score in row.items()} for row in given]
    if isinstance(given, list):
        return [[part[row].tolist() for part in given] for row in range(rows)]
    if given.shape[0] != rows:
        given = np.moveaxis(given, 1, 0)
    return (given[:, 0] if given.shape[1:] == (1,) else given).tolist()


def near(found: Any) -> Any:
    """The same, but for the order in which floats were added up."""
    if isinstance(found, list):
        return [near(each) for each in found]
    if isinstance(found, dict):
        return {name: near(each) for name, each in found.items()}
    return pytest.approx(found, rel=1e-4, abs=1e-4) if isinstance(found, float) else found


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    yield made
    await made.client.aclose()
    await made.reconciler.close()


def records(rows: Any) -> list[dict[str, float]]:
    return [{f"feature_{i}": float(value) for i, value in enumerate(row)} for row in rows]


async def predicted(live: Live, rows: Any) -> list[Any]:
    """The answers to a batch, which are those to its records one by one."""
    asked = records(rows)
    batch = await live.client.post("/predict/batch", json={"instances": asked})
    assert batch.status_code == 200, batch.text
    answers = batch.json()["predictions"]
    for record, answer in zip(asked, answers, strict=True):
        alone = (await live.client.post("/predict", json=record)).json()
        assert alone.keys() - {"model_name", "model_version"} == answer.keys()
        assert near(answer.get("outputs", {}).get("scores")) == alone.get("outputs", {}).get(
            "scores"
        )
    return answers


@pytest.mark.parametrize("name", NAMES)
async def test_predict_returns_the_other_outputs(live, name):
    """By the graph's names; and one prediction per target."""
    model = exported(name)
    await live.serve(1, model)
    given = direct(model, ROWS)
    read = live.reconciler.serving.signature.outputs
    assert not read.omitted
    answers = await predicted(live, ROWS)
    main = read.label or read.value
    assert [answer["prediction"] for answer in answers] == near(by_row(given[main], 3))
    said = {main, read.probabilities}
    for output, values in given.items():
        if output not in said:
            told = [answer["outputs"][output] for answer in answers]
            assert told == near(by_row(values, 3)), output
    assert all(answer.get("outputs", {}).keys() == given.keys() - said for answer in answers)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3])
async def test_tensors_equal_those_of_onnx_runtime(live, name, count):
    """In JSON, as bytes and over gRPC: names, datatypes and shapes as the metadata have them."""
    model = exported(name)
    await live.serve(1, model)
    given = direct(model, ROWS[:count])
    port = live.reconciler.serving.signature.ports[0].name
    data = ROWS[:count].ravel().tolist()
    asked = {"inputs": [{"name": port, "shape": [count, 3], "datatype": "FP32", "data": data}]}
    url = "/v2/models/m"
    outputs = (await live.client.post(f"{url}/infer", json=asked)).json()["outputs"]
    metadata = {each["name"]: each for each in (await live.client.get(url)).json()["outputs"]}
    given = {n: [[*row.values()] for row in v] if is_by_class(v) else v for n, v in given.items()}
    uneven = {
        n for n, v in given.items() if isinstance(v, list) and len({np.shape(p) for p in v}) > 1
    }
    assert {each["name"] for each in outputs} == metadata.keys() == given.keys() - uneven
    for each in outputs:
        raw = np.array(given[each["name"]])
        assert each["shape"] == list(raw.shape)
        assert each["data"] == near(raw.ravel().tolist())
        described = metadata[each["name"]]
        assert described["datatype"] == each["datatype"]
        assert len(described["shape"]) == raw.ndim
        assert all(d in (-1, s) for d, s in zip(described["shape"], raw.shape, strict=True))
        only = {**asked, "outputs": [{"name": each["name"], "parameters": {"binary_data": True}}]}
        answered = await live.client.post(f"{url}/infer", json=only)
        length = int(answered.headers["inference-header-content-length"])
        (one,) = json.loads(answered.content[:length])["outputs"]
        read = from_bytes(one["datatype"], answered.content[length:], raw.size)
        assert read.tolist() == near(raw.ravel().tolist())
    message = pb.ModelInferRequest(model_name="m")
    tensor_in = message.inputs.add(name=port, datatype="FP32", shape=[count, 3])
    tensor_in.contents.fp32_contents.extend(data)
    infer = methods(live.service.batcher, live.reconciler)[
        "/inference.GRPCInferenceService/ModelInfer"
    ]
    response = pb.ModelInferResponse.FromString(await infer(message.SerializeToString()))
    assert [(o.name, o.datatype, list(o.shape)) for o in response.outputs] == [
        (each["name"], each["datatype"], each["shape"]) for each in outputs
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_documents_list_the_outputs(live, name):
    """`/model` lists each output with its role; the document's schema has every member of an answer."""
    model = exported(name)
    await live.serve(1, model)
    signature = (await live.client.get("/model")).json()["serving"]["signature"]
    assert [each["name"] for each in signature["outputs"]] == [*direct(model, ROWS)]
    assert all(each["role"] and not each["omitted_because"] for each in signature["outputs"])
    document = (await live.client.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["RowPrediction"]
    (answer,) = await predicted(live, ROWS[:1])
    assert answer.keys() <= schema["properties"].keys()
    told = schema["properties"].get("outputs", {}).get("properties", {})
    assert answer.get("outputs", {}).keys() == told.keys()
    explained = await live.client.post("/predict/explain", json=records(ROWS)[0])
    assert explained.status_code in {200, 409, 422}


def network(*nodes: Any, outputs: Any = None, metadata: Any = None, **constants: Any) -> bytes:
    """A network of one table of three columns."""
    given = outputs or [tensor("y", shape=(None, 3))]
    return graph([*nodes], [tensor("X", shape=(None, 3))], given, constants, metadata)


SOFTMAX = helper.make_node("Softmax", ["X"], ["y"], axis=1)
SUM = helper.make_node("ReduceSum", ["X", "axis"], ["sum"], keepdims=1)
SIGMOID = (SUM, helper.make_node("Sigmoid", ["sum"], ["y"]))
AXIS = np.array([1])
COLUMN = [tensor("y", shape=(None, 1))]


def loaded(model: bytes, outputs: Any) -> Servable:
    """A version whose `MLmodel` declares these outputs."""
    mlmodel = {"signature": {"outputs": json.dumps(outputs)}, "flavors": {"onnx": {}}}
    files = {"MLmodel": yaml.safe_dump(mlmodel).encode(), "model.onnx": model}
    return load(version(1), Fetched.of("model.onnx", files, {}), Interrupt())


BY_TARGET = (
    helper.make_node("Transpose", ["X"], ["columns"]),
    helper.make_node("MatMul", ["w", "columns"], ["y"]),
)


async def tensors(live: Live, rows: Any) -> dict[str, Any]:
    """The outputs at `/v2`, as arrays."""
    asked = {
        "name": "X",
        "shape": list(rows.shape),
        "datatype": "FP32",
        "data": rows.ravel().tolist(),
    }
    answered = await live.client.post("/v2/models/m/infer", json={"inputs": [asked]})
    return {o["name"]: np.reshape(o["data"], o["shape"]) for o in answered.json()["outputs"]}


class TestRows:
    """Which numbers are those of which row."""

    @pytest.mark.parametrize("targets", [1, 2, 3])
    @pytest.mark.parametrize("declared", [(None, 1), (2, None), (None, None)])
    async def test_values_by_target_become_values_by_row(self, live, targets, declared):
        """[T, N], also where there are as many rows as targets; tensors stay as the graph has them."""
        weights = np.arange(3.0 * targets, dtype=np.float32).reshape(targets, 3)
        model = network(*BY_TARGET, outputs=[tensor("y", shape=declared)], w=weights)
        await live.serve(1, model)
        for count in (1, 2, 3):
            expected = ROWS[:count] @ weights.T
            told = [answer["prediction"] for answer in await predicted(live, ROWS[:count])]
            assert told == near((expected[:, 0] if targets == 1 else expected).tolist())
            given = (await tensors(live, ROWS[:count]))["y"]
            assert given == pytest.approx(direct(model, ROWS[:count])["y"], abs=1e-5)
            body = {"inputs": ROWS[:count].tolist()}
            scored = (await live.client.post("/invocations", json=body)).json()["predictions"]
            assert scored == near(told)

    async def test_the_first_output_is_the_prediction_whichever_way_its_rows_run(self, live):
        """A deviation behind it, with a row for each, does not take its place."""
        nodes = (*BY_TARGET, SUM)
        outputs = [tensor("y", shape=(2, None)), tensor("sum", shape=(None, 1))]
        weights = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
        await live.serve(1, network(*nodes, outputs=outputs, w=weights, axis=AXIS))
        answers = await predicted(live, ROWS)
        assert [a["prediction"] for a in answers] == near(ROWS[:, :2].tolist())
        assert [a["outputs"]["sum"] for a in answers] == near(ROWS.sum(axis=1).tolist())

    async def test_an_output_that_compares_rows_is_omitted(self, live):
        """A covariance [N, N] is of records that others sent."""
        nodes = SOFTMAX, BY_TARGET[0], helper.make_node("MatMul", ["X", "columns"], ["covariance"])
        outputs = [tensor("y", shape=(None, 3)), tensor("covariance", shape=(None, None))]
        await live.serve(1, network(*nodes, outputs=outputs))
        assert all(answer.keys() == {"prediction"} for answer in await predicted(live, ROWS))
        assert (await tensors(live, ROWS)).keys() == {"y"}

    async def test_rows_that_a_graph_mixes_are_computed_alone(self, live):
        """Or a record would be answered by which others come in the same moment; `/model` says why it is slow."""
        across = helper.make_node("Softmax", ["X"], ["y"], axis=0)
        await live.serve(1, network(across))
        assert [a["prediction"] for a in await predicted(live, ROWS)] == [[1.0] * 3] * 3
        assert (await tensors(live, ROWS))["y"].tolist() == [[1.0] * 3] * 3
        signature = (await live.client.get("/model")).json()["serving"]["signature"]
        assert "each row is computed alone" in signature["hints"][0]

    def test_an_output_without_rows_is_refused(self, tmp_path):
        """One number for all rows is nobody's."""
        total = helper.make_node("ReduceSum", ["X"], ["y"], keepdims=1)
        with pytest.raises(LoadError, match="no output of the graph has one entry for each row"):
            servable_of(tmp_path, network(total, outputs=[tensor("y", shape=(1, 1))]))


BEST = helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0)
TURNED = (
    helper.make_node("Neg", ["X"], ["turned"]),
    helper.make_node("Softmax", ["turned"], ["attention"], axis=1),
)


class TestSeveralOutputsThatAddUpToOne:
    """Attention does, too."""

    def served(self, name: str, **metadata: Any) -> bytes:
        nodes = (BEST, *TURNED, helper.make_node("Softmax", ["X"], [name], axis=1))
        outputs = [tensor("label", "int64", (None,))]
        outputs += [tensor(n, shape=(None, 3)) for n in ("attention", name)]
        return network(
            *nodes, outputs=outputs, metadata={"class_labels": ["a", "b", "c"], **metadata}
        )

    async def test_the_output_named_probabilities_is_used(self, live):
        """Wherever it stands."""
        await live.serve(1, self.served("class_probs"))
        for answer in await predicted(live, ROWS):
            assert answer["probability"] == max(answer["probabilities"].values())
            assert answer["outputs"].keys() == {"attention"}

    async def test_the_output_whose_maximum_is_the_label_is_used(self, live):
        """As recorded rows show it."""
        record = {f"feature_{i}": value for i, value in enumerate((0.0, 1.0, 2.0))}
        recorded = [{"record": record, "prediction": "c"}]
        await live.serve(1, self.served("scores", recorded_examples=recorded))
        for answer in await predicted(live, ROWS):
            assert answer["probability"] == max(answer["probabilities"].values())
            assert answer["outputs"].keys() == {"attention"}

    async def test_equally_likely_outputs_are_not_used(self, live):
        """Both are told by their names, and `/model` says what would tell them apart."""
        await live.serve(1, self.served("scores"))
        for answer, row in zip(await predicted(live, ROWS), ROWS, strict=True):
            assert answer["prediction"] == "abc"[row.argmax()]
            assert answer.keys() == {"prediction", "outputs"}
            assert answer["outputs"].keys() == {"attention", "scores"}
        signature = (await live.client.get("/model")).json()["serving"]["signature"]
        assert "outputs 'attention', 'scores' all look like probabilities" in signature["hints"][0]


class TestNetworks:
    async def test_softmax_and_class_labels_are_a_classifier(self, live):
        """The likeliest class, its probability, and all of them; the tensor is the graph's own."""
        labels = ["setosa", "versicolor", "virginica"]
        model = network(SOFTMAX, metadata={"class_labels": labels})
        await live.serve(1, model)
        answers = await predicted(live, ROWS)
        for answer, scores in zip(answers, direct(model, ROWS)["y"], strict=True):
            assert answer["probabilities"] == near(dict(zip(labels, scores.tolist(), strict=True)))
            assert answer["prediction"] == labels[scores.argmax()]
            assert answer["probability"] == max(answer["probabilities"].values())
            assert "outputs" not in answer
        assert live.samples()["predictor_predictions_total", "1", "setosa"] >= 0

    @pytest.mark.parametrize("flat", [False, True])
    async def test_sigmoid_and_two_class_labels_are_a_classifier(self, live, flat):
        """It is the probability of the second, whether it is [N, 1] or [N]."""
        if flat:
            squeeze = helper.make_node("Squeeze", ["z", "axis"], ["y"])
            nodes = (SUM, helper.make_node("Sigmoid", ["sum"], ["z"]), squeeze)
        else:
            nodes = SIGMOID
        given = [tensor("y", shape=(None,))] if flat else COLUMN
        model = network(*nodes, outputs=given, metadata={"class_labels": ["no", "yes"]}, axis=AXIS)
        await live.serve(1, model)
        given = direct(model, ROWS)["y"].ravel().tolist()
        for answer, p in zip(await predicted(live, ROWS), given, strict=True):
            assert answer["probabilities"] == near({"no": 1 - p, "yes": p})
            assert answer["prediction"] == ("yes" if p > 0.5 else "no")

    async def test_argmax_and_text_class_labels(self, live):
        """The index is the class at its place; the tensor stays the index."""
        nodes = SOFTMAX, helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0)
        outputs = [tensor("label", "int64", (None,)), tensor("y", shape=(None, 3))]
        model = network(*nodes, outputs=outputs, metadata={"class_labels": ["a", "b", "c"]})
        await live.serve(1, model)
        given = direct(model, ROWS)
        answers = await predicted(live, ROWS)
        assert [a["prediction"] for a in answers] == ["abc"[i] for i in given["label"]]
        assert answers[0]["probabilities"] == near(
            dict(zip("abc", given["y"][0].tolist(), strict=True))
        )
        alone = network(nodes[1], outputs=outputs[:1], metadata={"class_labels": ["a", "b", "c"]})
        await live.serve(2, alone)
        answers = await predicted(live, ROWS)
        assert answers == [{"prediction": "abc"[i]} for i in given["label"]]

    @pytest.mark.parametrize(
        ("nodes", "labels"),
        [
            ([helper.make_node("Identity", ["X"], ["y"])], ["a", "b", "c"]),
            ([helper.make_node("Sigmoid", ["X"], ["y"])], ["a", "b", "c"]),
            ([SOFTMAX], ["a", "b"]),
            ([SOFTMAX], ["a", "b", "c", "d"]),
        ],
    )
    def test_class_labels_without_probabilities_are_refused(self, tmp_path, nodes, labels):
        """Margins, several labels, or another number of classes: not guessed."""
        with pytest.raises(LoadError, match="does not hold their probabilities") as caught:
            servable_of(tmp_path, network(*nodes, metadata={"class_labels": labels}))
        assert caught.value.stage == "signature"

    @pytest.mark.parametrize(
        "model",
        [network(SOFTMAX), network(*SIGMOID, outputs=COLUMN, axis=AXIS)],
        ids=["softmax", "sigmoid"],
    )
    async def test_without_class_labels_it_is_numbers_and_model_says_what_is_missing(
        self, live, model
    ):
        """As before: nothing says that they are probabilities."""
        await live.serve(1, model)
        given = direct(model, ROWS)["y"]
        answers = await predicted(live, ROWS)
        assert [answer["prediction"] for answer in answers] == near(by_row(given, 3))
        signature = (await live.client.get("/model")).json()["serving"]["signature"]
        assert "write class_labels" in signature["hints"][0]

    async def test_a_second_output_that_is_not_finite_is_null(self, live):
        """JSON has no NaN; the prediction is good all the same. Bytes have it."""
        nodes = SOFTMAX, helper.make_node("Log", ["X"], ["logs"])
        outputs = [tensor("y", shape=(None, 3)), tensor("logs", shape=(None, 3))]
        await live.serve(1, network(*nodes, outputs=outputs))
        (answer,) = await predicted(live, [[1.0, -1.0, 0.0]])
        assert answer["outputs"] == {"logs": [0.0, None, None]}
        asked = {"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1.0, -1.0, 0.0]}
        answered = await live.client.post("/v2/models/m/infer", json={"inputs": [asked]})
        assert answered.json()["outputs"][1]["data"] == [0.0, None, None]

    async def test_outputs_of_more_dimensions(self, live):
        """Row-major, with their whole shape; at `/predict` as nested lists."""
        nodes = SOFTMAX, helper.make_node("Reshape", ["X", "to"], ["cube"])
        outputs = [tensor("y", shape=(None, 3)), tensor("cube", shape=(None, 3, 1))]
        model = network(*nodes, outputs=outputs, to=np.array([-1, 3, 1]))
        await live.serve(1, model)
        answers = await predicted(live, ROWS)
        assert [answer["outputs"]["cube"] for answer in answers] == near(ROWS[:, :, None].tolist())

    async def test_an_output_without_an_entry_per_row_is_omitted_with_its_reason(self, live):
        """A constant, a sum over all rows, a scalar."""
        nodes = [
            SOFTMAX, helper.make_node("Identity", ["table"], ["constant"]),
            helper.make_node("ReduceSum", ["X"], ["total"], keepdims=0),
        ]  # fmt: skip
        outputs = [
            tensor("total", shape=()), tensor("constant", shape=(1, 2)), tensor("y", shape=(None, 3)),
        ]  # fmt: skip
        model = network(*nodes, outputs=outputs, table=np.zeros((1, 2), np.float32))
        await live.serve(1, model)
        answers = await predicted(live, ROWS)
        assert all(answer.keys() == {"prediction"} for answer in answers)
        told = (await live.client.get("/model")).json()["serving"]["signature"]["outputs"]
        assert [each["omitted_because"] for each in told] == [
            "it does not have one entry for each row", "it does not have one entry for each row", None,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "declared",
        [
            [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}],
            [{"type": "double", "name": "y1"}, {"type": "double", "name": "y2"}],
            [{"type": "double", "name": "y1"}, {"type": "double", "name": "y2", "required": False}],
        ],
    )
    def test_the_observed_shape_replaces_the_declared_one(self, declared):
        """Exporters write one column where there are several targets; MLflow's signature has them all."""
        node = helper.make_node(
            "LinearRegressor", ["X"], ["y"], domain="ai.onnx.ml", targets=2,
            coefficients=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], intercepts=[0.0, 0.0],
        )  # fmt: skip
        servable = loaded(network(node, outputs=COLUMN), declared)
        assert servable.signature.results[0].shape == (None, 2)
        assert servable.answer([(1.0, 2.0, 3.0)])[0].prediction == [1.0, 2.0]

    def test_class_labels_that_a_run_contradicts_are_refused(self):
        """Two columns, and three said."""
        declared = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]
        with pytest.raises(LoadError, match="says 2 columns of output, the graph gives 3"):
            loaded(network(SOFTMAX), declared)


class TestClassLabels:
    """`class_labels`, of the metadata or of a node, that cannot be names of columns."""

    @pytest.mark.parametrize(
        ("labels", "reason"),
        [
            (["a", "a"], "class_labels has a more than once"),
            ([0, 0], "class_labels has 0 more than once"),
            ([1, "1"], "texts and numbers"),
            (["a", 1], "texts and numbers"),
        ],
    )
    def test_in_the_metadata(self, tmp_path, labels, reason):
        with pytest.raises(LoadError, match=reason) as caught:
            servable_of(tmp_path, classifier(metadata={"class_labels": labels}))
        assert caught.value.stage == "signature"

    @pytest.mark.parametrize("labels", [("a", "a"), (0, 0)])
    def test_in_the_graph(self, tmp_path, labels):
        with pytest.raises(LoadError, match="more than once") as caught:
            servable_of(tmp_path, classifier(labels=labels))
        assert caught.value.stage == "signature"

    def test_for_several_targets(self, tmp_path):
        """One list names the classes of one target."""
        node = helper.make_node("Greater", ["X", "zero"], ["label"])
        outputs = [tensor("label", "bool", (None, 3))]
        model = network(
            node, outputs=outputs, metadata={"class_labels": [0, 1]}, zero=np.float32(0)
        )
        with pytest.raises(LoadError, match="several per row"):
            servable_of(tmp_path, model)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((-1.19e-07, 1.0000001), {"0": 0.0, "1": 1.0}), ((-0.2, 1.2), None)],
)
async def test_rounding_is_clipped_on_every_door_and_more_is_refused(live, scores, expected):
    """As a forest's float32 sums are; 1.2 is no probability that rounding made."""
    nodes = [
        helper.make_node("Mul", ["X", "nothing"], ["none"]),
        helper.make_node("Add", ["none", "scores"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [tensor("label", "int64", (None,)), tensor("probabilities")]
    constants = {"nothing": np.float32(0), "scores": np.array([scores], np.float32)}
    await live.serve(1, graph(nodes, [tensor("X")], outputs, constants))
    if expected is None:
        failure = live.reconciler.failure
        assert (failure.stage, "outside [0, 1]" in failure.reason) == ("signature", True)
        return
    record = {"feature_0": 1, "feature_1": 2}
    answer = (await live.client.post("/predict", json=record)).json()
    assert (answer["probability"], answer["probabilities"]) == (1.0, expected)
    batch = (await live.client.post("/predict/batch", json={"instances": [record] * 3})).json()
    assert [each["probabilities"] for each in batch["predictions"]] == [expected] * 3
    asked = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    inferred = (await live.client.post("/v2/models/m/infer", json={"inputs": [asked]})).json()
    assert inferred["outputs"][1]["data"] == [0.0, 1.0]


@pytest.mark.parametrize("listed", [None, [0, 1], ["no", "yes"]])
async def test_a_boolean_label_is_the_same_in_every_protocol(live, listed):
    """`true`, not 1, beside a row that has no answer too; or the text that stands for it."""
    nodes = [
        helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["place"], axis=1, keepdims=0),
        helper.make_node("Cast", ["place"], ["label"], to=onnx.TensorProto.BOOL),
    ]
    outputs = [tensor("label", "bool", (None,)), tensor("probabilities")]
    metadata = {"class_labels": listed} if listed else {}
    await live.serve(1, graph(nodes, [tensor("X")], outputs, metadata=metadata))
    assert live.reconciler.failure is None
    record = {"feature_0": 1, "feature_1": 2}
    answer = (await live.client.post("/predict", json=record)).json()
    label = "yes" if listed and "yes" in listed else True
    assert (answer["prediction"], type(answer["prediction"])) == (label, type(label))
    assert list(answer["probabilities"]) == (["no", "yes"] if label == "yes" else ["false", "true"])
    servable = live.reconciler.serving
    alone, beside, _ = servable.answer(
        [servable.signature.pack(*row) for row in ((1.0, 2.0), (1.0, 2.0), (np.nan, 1.0))]
    )
    assert alone == beside
    assert type(alone.prediction) is type(label)
    asked = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    inferred = (await live.client.post("/v2/models/m/infer", json={"inputs": [asked]})).json()
    assert inferred["outputs"][0]["datatype"] == "BOOL"
    assert inferred["outputs"][0]["data"] == [True]


async def test_rows_of_a_graph_that_no_first_row_runs_are_not_mixed(live):
    """It refuses every category but its own, and gives the rows on its second axis, [2, N]."""
    nodes = [
        helper.make_node(
            "LabelEncoder", ["city"], ["place"], domain="ai.onnx.ml",
            keys_strings=["Rome", "Oslo"], values_int64s=[0, 1], default_int64=99,
        ),
        helper.make_node("Gather", ["table", "place"], ["value"], axis=1),
    ]  # fmt: skip
    table = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    await live.serve(
        1,
        graph(
            nodes, [tensor("city", "string", (None,))], [tensor("value", shape=(2, None))],
            {"table": table},
        ),
    )  # fmt: skip
    assert live.reconciler.failure is None
    expected = {"Rome": [1.0, 3.0], "Oslo": [2.0, 4.0]}
    for city, values in expected.items():
        answer = await live.client.post("/predict", json={"city": city})
        assert (answer.status_code, answer.json().get("prediction")) == (200, values)
    cities = ["Oslo", "Rome", "Oslo"]
    asked = {"instances": [{"city": city} for city in cities]}
    batch = (await live.client.post("/predict/batch", json=asked)).json()
    assert [row["prediction"] for row in batch["predictions"]] == [expected[c] for c in cities]
