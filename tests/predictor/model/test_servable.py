"""A servable answers what ONNX Runtime answers, row by row, from any thread."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import helper

from predictor.errors import InvalidRecord
from predictor.model.answers import Answer
from tests.predictor.graphs import classifier, graph, one_input_per_column, regressor, tensor
from tests.predictor.parts import servable_of


def test_a_row_is_answered_alike_alone_and_among_others(tmp_path):
    """But for the last bit: ONNX Runtime takes other vector instructions for other batch sizes."""
    servable = servable_of(tmp_path, classifier((0.3, -0.7)))
    rows = [(float(a), float(b)) for a, b in np.random.default_rng(1).normal(size=(50, 2))]
    for row, among in zip(rows, servable.answer(rows), strict=True):
        alone = servable.answer([row])[0]
        assert among.prediction == alone.prediction
        assert among.probabilities == pytest.approx(alone.probabilities, abs=2e-7)


def test_a_number_that_is_not_finite_is_an_error_of_its_row(tmp_path):
    """log(-1) has no answer; its neighbours have."""
    servable = servable_of(tmp_path, regressor(op="Log"))
    good, nan, infinite = servable.answer([(1.0, 0.0), (-1.0, 0.0), (0.0, 0.0)])
    assert good == Answer(0.0)
    assert all(isinstance(bad, InvalidRecord) for bad in (nan, infinite))
    assert "no finite answer" in str(nan)


def test_probabilities_that_are_not_finite_are_an_error_of_their_row(tmp_path):
    """Scores that overflow float32 are not served as null."""
    servable = servable_of(tmp_path, classifier((3e38, 3e38)))
    good, bad = servable.answer([(1.0, 0.0), (3e38, 3e38)])
    assert isinstance(good, Answer)
    assert isinstance(bad, InvalidRecord) or np.isfinite(bad.probability)


def test_each_error_is_an_exception_of_its_own(tmp_path):
    """One that is raised again and again would keep every request that met it alive."""
    servable = servable_of(tmp_path, regressor(op="Log"))
    one, other = servable.answer([(-1.0, 0.0), (-1.0, 0.0)])
    assert one is not other
    assert servable.answer([(-1.0, 0.0)])[0] is not one


def test_one_row_that_fails_does_not_fail_the_others(tmp_path):
    """ONNX Runtime refuses the whole batch; each row is then asked alone."""
    nodes = [
        helper.make_node("ArrayFeatureExtractor", ["table", "i"], ["y"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["y", "to"], ["value"]),
    ]
    constants = {"table": np.array([10.0, 20.0], np.float32), "to": np.array([-1, 1])}
    inputs, outputs = [tensor("i", "int64", (None, 1))], [tensor("value", shape=(None, 1))]
    servable = servable_of(tmp_path, graph(nodes, inputs, outputs, constants))
    first, bad, last = servable.answer([(0,), (99,), (1,)])
    assert (first, last) == (Answer(10.0), Answer(20.0))
    assert isinstance(bad, InvalidRecord)
    assert "\n" not in str(bad)


def test_a_label_outside_the_classes_is_an_error_of_its_row(tmp_path):
    """A fault of the model that only some rows show is told, not a crash."""
    nodes = [
        helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
        helper.make_node("Slice", ["X", "zero", "one", "one"], ["first"]),
        helper.make_node("Cast", ["first"], ["label"], to=7),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1])}
    outputs = [tensor("label", "int64", (None, 1)), tensor("probabilities")]
    servable = servable_of(tmp_path, graph(nodes, [tensor("X")], outputs, constants))
    good, bad = servable.answer([(1.0, 0.0), (42.0, 0.0)])
    assert isinstance(good, Answer)
    assert "42, which is not among its class labels" in str(bad)


def test_rows_of_several_types(tmp_path):
    """Each column keeps its type among others."""
    servable = servable_of(tmp_path, one_input_per_column())
    rows = [(1, True, 0.25, "A"), (2, False, 0.0, "an: unknown \U0001f600 code")]
    assert [a.prediction for a in servable.answer(rows)] == [102.25, 1.0]


def test_threads_get_their_own_answers(tmp_path):
    """Two requests may run on one session at the same time."""
    servable = servable_of(tmp_path, regressor())
    batches = [[(float(i), float(j)) for j in range(50)] for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for batch, answers in zip(batches, pool.map(servable.answer, batches), strict=True):
            assert [a.prediction for a in answers] == [sum(row) for row in batch]


def test_telemetry_is_off_before_onnx_runtime_is_imported():
    """In a hospital nothing may phone home, not even the first event."""
    code = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import predictor.service
"""
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]
