"""Every metric exists from the start, and clients cannot create label values."""

import asyncio
import contextlib
import mmap
import time

import numpy as np
import pytest
from onnx import helper
from prometheus_client.parser import text_string_to_metric_families

from predictor import events
from predictor.errors import LOAD_STAGES, FieldError, InvalidRecord
from predictor.metrics.counts import Counts
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics
from predictor.model.answers import Answer, Answers
from tests.predictor.graphs import classifier, graph, regressor, tensor
from tests.predictor.live import Live
from tests.predictor.parts import servable_of, version

NAMES = {
    "predictor_model_version": "gauge",
    "predictor_desired_model_version": "gauge",
    "predictor_aspired_model_version": "gauge",
    "predictor_failed_model_version": "gauge",
    "predictor_serving_since_timestamp_seconds": "gauge",
    "predictor_model_info": "gauge",
    "predictor_requests": "counter",
    "predictor_request_duration_seconds": "histogram",
    "predictor_predictions": "counter",
    "predictor_unanswered_rows": "counter",
    "predictor_batch_rows": "histogram",
    "predictor_inference_duration_seconds": "histogram",
    "predictor_inference_timeouts": "counter",
    "predictor_swaps": "counter",
    "predictor_load_failures": "counter",
    "predictor_cache_failures": "counter",
    "predictor_load_duration_seconds": "histogram",
    "predictor_registry_polls": "counter",
    "predictor_registry_last_success_timestamp_seconds": "gauge",
    "predictor_workers": "gauge",
    "predictor_swap_skew_seconds": "gauge",
    "predictor_worker_restarts": "counter",
    "predictor_event_streams": "gauge",
    "predictor_event_loop_lag_seconds": "histogram",
    "predictor_counts_full": "gauge",
    "predictor_webhook_deliveries": "counter",
    "predictor_key_file_failures": "counter",
    "predictor_approvals": "gauge",
    "predictor_approvals_required": "gauge",
    "predictor_approvals_expiry_timestamp_seconds": "gauge",
    "predictor_fleet_connected": "gauge",
    "predictor_recorded_rows": "counter",
    "predictor_record_waiting_bytes": "gauge",
    "predictor_record_waiting_seconds": "gauge",
    "predictor_outcomes": "counter",
    "predictor_shadow_model_version": "gauge",
    "predictor_shadow_failed": "gauge",
    "predictor_shadow_restarts": "counter",
    "predictor_shadow_rows": "counter",
    "predictor_shadow_flips": "counter",
    "predictor_shadow_difference": "histogram",
    "predictor_shadow_seconds": "histogram",
}


@pytest.fixture
def live(tmp_path):
    return Live(tmp_path)


def test_every_metric_is_there_from_the_start(live):
    """With its type and help; an absent metric cannot alert."""
    families = list(text_string_to_metric_families(live.exposition.render().decode()))
    assert {f.name: f.type for f in families if f.name.startswith("predictor_")} == NAMES
    assert all(family.documentation for family in families)


def test_monitored_series_start_at_zero(live):
    """Before the first poll."""
    samples = live.samples()
    assert samples["predictor_model_version", "m"] == 0
    assert samples["predictor_desired_model_version", "m"] == 0
    assert samples[("predictor_registry_last_success_timestamp_seconds",)] == 0
    assert samples["predictor_workers", "none"] == 1
    assert samples[("predictor_worker_restarts_total",)] == 0
    assert samples[("predictor_batch_rows_count",)] == 0
    assert samples["predictor_failed_model_version", "m"] == 0
    assert samples[("predictor_serving_since_timestamp_seconds",)] == 0
    assert samples[("predictor_event_loop_lag_seconds_count",)] == 0
    assert samples[("predictor_counts_full",)] == 0
    for stage in LOAD_STAGES:
        assert samples["predictor_load_failures_total", stage] == 0
    for endpoint in ("/predict", "/predict/batch", "/predict/what-if", "/predict/explain"):
        assert samples["predictor_requests_total", "503", endpoint] == 0
        assert samples["predictor_request_duration_seconds_count", endpoint] == 0
    for outcome in ("answered", "unreachable", "refused", "invalid_response"):
        assert samples["predictor_registry_polls_total", outcome] == 0
    for reason in ("promoted", "rolled_back", "restored", "withdrawn"):
        assert samples["predictor_swaps_total", reason] == 0
    for outcome in ("accepted", "ignored", "malformed", "bad_signature", "stale", "repeated"):
        assert samples["predictor_webhook_deliveries_total", outcome] == 0


def test_two_services_do_not_share_metrics(live, tmp_path):
    """Nothing is on the global registry."""
    other = Live(tmp_path / "other")
    live.metrics.answered("/predict", 200, 0.1)
    assert other.samples()["predictor_requests_total", "200", "/predict"] == 0


async def test_a_promotion_moves_the_gauges(live):
    """From 3 to 7, then back, then to nothing."""
    await live.serve(3, classifier())
    await live.serve(7, classifier())
    samples = live.samples()
    assert samples["predictor_model_version", "m"] == 7
    assert samples["predictor_desired_model_version", "m"] == 7
    digest = live.reconciler.serving.artifact.onnx_sha256
    info = {k: v for k, v in samples.items() if k[0] == "predictor_model_info"}
    assert list(info.values()) == [1]
    assert set(next(iter(info))[1:]) == {"m", "7", "run7", digest}
    await live.say(version(3))
    assert live.samples()["predictor_model_version", "m"] == 3
    await live.say(None)
    samples = live.samples()
    assert samples["predictor_model_version", "m"] == 0
    assert samples["predictor_desired_model_version", "m"] == 0
    assert not [key for key in samples if key[0] == "predictor_model_info"]
    swaps = {k[1]: v for k, v in samples.items() if k[0] == "predictor_swaps_total"}
    assert swaps == {
        "promoted": 2,
        "rolled_back": 1,
        "restored": 0,
        "withdrawn": 1,
        "unapproved": 0,
    }
    assert samples[("predictor_load_duration_seconds_count",)] == 3


async def test_desired_and_serving_differ_while_a_version_cannot_load(live):
    """The alert compares both gauges; the failure is counted by its stage."""
    await live.serve(1, classifier())
    await live.serve(2, b"garbage")
    samples = live.samples()
    assert samples["predictor_model_version", "m"] == 1
    assert samples["predictor_desired_model_version", "m"] == 2
    assert samples["predictor_aspired_model_version", "m"] == 2  # deprecated, one release
    assert samples["predictor_load_failures_total", "session"] == 1


async def test_a_failed_version_is_shown_until_it_serves_or_is_no_longer_desired(live):
    """It is zero again when the failure is over."""

    def failed():
        return live.samples()["predictor_failed_model_version", "m"]

    await live.serve(1, classifier())
    await live.serve(2, b"garbage")
    assert failed() == 2
    await live.serve(1, classifier())
    assert failed() == 0
    await live.serve(3, b"garbage")
    assert failed() == 3
    live.source.graphs["3"] = (classifier(), None)
    await live.say(version(3, updated=1))
    assert live.samples()["predictor_model_version", "m"] == 3
    assert failed() == 0


async def test_since_when_a_version_serves(live):
    """The time of the last swap; none while nothing serves."""

    def since():
        return live.samples()[("predictor_serving_since_timestamp_seconds",)]

    before = time.time()
    await live.serve(1, classifier())
    first = since()
    assert before - 0.1 <= first <= time.time() + 0.1
    await live.say(version(1))
    assert since() == first
    await asyncio.sleep(0.2)  # it is told in tenths of a second
    await live.serve(2, classifier())
    assert since() > first
    await live.say(None)
    assert since() == 0


def test_lag_is_in_its_bucket(live):
    """Also of an idle loop."""
    for seconds in (0.0, 0.0004, 0.3):
        live.metrics.lagged(seconds)
    samples, name = live.samples(), "predictor_event_loop_lag_seconds"
    assert samples[f"{name}_bucket", "0.001"] == samples[f"{name}_bucket", "0.25"] == 2
    assert samples[f"{name}_bucket", "0.5"] == 3


async def test_a_silent_registry_is_counted_and_its_last_answer_dated(live):
    """An alert can use the age of the last response."""
    await live.serve(1, classifier())
    dated = live.samples()[("predictor_registry_last_success_timestamp_seconds",)]
    live.source.down = True
    await live.reconciler.reconcile()
    samples = live.samples()
    assert dated > 1e9
    assert samples[("predictor_registry_last_success_timestamp_seconds",)] == dated
    assert samples["predictor_registry_polls_total", "unreachable"] == 1
    assert samples["predictor_registry_polls_total", "answered"] == 1


def test_a_restored_version_is_counted_and_not_timed(live):
    """A start from the cache does not count as a load."""
    live.metrics.observe(events.Swapped(None, version(1), "restored", 5.0, "d"))
    assert live.samples()[("predictor_load_duration_seconds_count",)] == 0
    assert live.samples()["predictor_swaps_total", "restored"] == 1


def test_predictions_are_counted_by_class(live, tmp_path):
    """And by version; a row without a prediction is not counted."""
    servable = servable_of(tmp_path, classifier(), number=9)
    answers = [Answer("malignant"), Answer("malignant"), Answer("benign")]
    live.metrics.ran(servable, Answers.of(servable.signature, answers), 0.001)
    samples = live.samples()
    assert samples["predictor_predictions_total", "9", "malignant"] == 2
    assert samples["predictor_predictions_total", "9", "benign"] == 1
    assert samples[("predictor_batch_rows_sum",)] == 3
    assert samples[("predictor_inference_duration_seconds_count",)] == 1


def test_numbers_do_not_become_labels(live, tmp_path):
    """A regressor's values are one series."""
    servable = servable_of(tmp_path, regressor())
    answers = [Answer(float(i)) for i in range(100)]
    live.metrics.ran(servable, Answers.of(servable.signature, answers), 0.001)
    assert live.samples()["predictor_predictions_total", "1", "value"] == 100


def test_rows_without_an_answer_are_counted_by_version(live, tmp_path):
    """They are in no class; the series exists before the first of them."""
    servable = servable_of(tmp_path, regressor(op="Log"))
    live.metrics.ran(servable, servable.answer([(2.0, 1.0)]), 0.001)
    assert live.samples()["predictor_unanswered_rows_total", "1"] == 0
    live.metrics.ran(servable, servable.answer([(-1.0, -1.0), (2.0, 1.0)]), 0.001)
    assert live.samples()["predictor_unanswered_rows_total", "1"] == 1
    assert live.samples()["predictor_predictions_total", "1", "value"] == 2


def test_many_classes_do_not_become_many_series(live, tmp_path):
    """Further classes are counted together."""
    nodes = [
        helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [tensor("label", "int64", (None,)), tensor("probabilities", shape=(None, 1000))]
    servable = servable_of(tmp_path, graph(nodes, [tensor("X", shape=(None, 1000))], outputs))
    answers = servable.answer([tuple(row) for row in np.eye(1000)])
    live.metrics.ran(servable, answers, 0.001)
    assert of_version(live, "1") == {**{str(i): 1 for i in range(50)}, "other": 950}


def of_version(live, number):
    series = {k: v for k, v in live.samples().items() if k[0] == "predictor_predictions_total"}
    return {k[2]: v for k, v in series.items() if k[1] == number}


@pytest.mark.parametrize("rows", [1, 40])
def test_text_of_clients_does_not_become_a_label_value(live, tmp_path, rows):
    """A graph may return text of the record: such predictions are counted together."""
    node = helper.make_node("Identity", ["name"], ["label"])
    shape = (None, 1)
    model = graph([node], [tensor("name", "string", shape)], [tensor("label", "string", shape)])
    servable = servable_of(tmp_path, model)
    answers = servable.answer([(f"patient {i}",) for i in range(rows)])
    assert answers[0] == Answer("patient 0")
    live.metrics.ran(servable, answers, 0.001)
    assert of_version(live, "1") == {"other": rows}
    assert "patient" not in live.exposition.render().decode()


@pytest.mark.parametrize("door", ["asgi", "fast lane"])
async def test_nothing_of_a_request_is_in_the_metrics(live, door):
    """No text of paths, models, versions, outputs, headers or records becomes a label."""
    node = helper.make_node("Identity", ["name"], ["label"])
    shape = (None, 1)
    model = graph([node], [tensor("name", "string", shape)], [tensor("label", "string", shape)])
    await live.serve(1, model)
    record = {"name": "marked"}
    row = {"name": "name", "shape": [1], "datatype": "BYTES", "data": ["marked"]}
    async with live.on_socket() if door == "fast lane" else contextlib.nullcontext():
        ask = live.client.request
        assert (await ask("POST", "/predict", json=record)).json()["prediction"] == "marked"
        await ask("POST", "/predict?marked=marked", json=record, headers={"x-request-id": "marked"})
        await ask("POST", "/predict/batch", json={"instances": [record] * 20})
        await ask("POST", "/v2/models/m/infer", json={"inputs": [row], "id": "marked"})
        await ask("POST", "/v2/models/marked/versions/marked/infer", json={"inputs": [row]})
        await ask("POST", "/invocations", json={"inputs": [record]})
        await ask("MARKED", "/predict")
        for path in (
            "/marked",
            "/v2/models/marked",
            "/predict/marked",
            "/docs/marked",
            "/marked.js",
        ):
            await ask("GET", path)
        await asyncio.sleep(0)  # counting waits until the answer is sent
        text = (await live.client.get("/metrics")).text
    assert "predictor_requests_total" in text
    assert "marked" not in text.lower()
    assert of_version(live, "1") == {"other": 24}
    await live.reconciler.close()


def test_several_targets_are_one_series(live, tmp_path):
    """Each combination of labels would be one else."""
    node = helper.make_node("ArgMax", ["X"], ["label"], axis=2, keepdims=0)
    split = helper.make_node("Reshape", ["Y", "to"], ["X"])
    model = graph(
        [split, node], [tensor("Y", shape=(None, 4))], [tensor("label", "int64", (None, 2))],
        {"to": np.array([-1, 2, 2])},
    )  # fmt: skip
    servable = servable_of(tmp_path, model)
    live.metrics.ran(servable, servable.answer([(0.0, 1.0, 1.0, 0.0)] * 3), 0.001)
    assert of_version(live, "1") == {"other": 3}


def test_a_version_loaded_again_with_other_classes_is_counted_by_the_new_ones(live, tmp_path):
    """The classes are those of the graph that computed the rows."""
    for labels in (("a", "b"), ("a", "c")):
        servable = servable_of(tmp_path, classifier(labels=labels))
        live.metrics.ran(servable, servable.answer([(-1.0, 0.0)]), 0.001)
    assert of_version(live, "1") == {"a": 0, "b": 1, "c": 1}


def test_each_class_is_there_with_the_first_answer_of_a_version(live, tmp_path):
    """A class that is seen for the first time is an increase then, not a new series."""
    servable = servable_of(tmp_path, classifier(), number=9)
    live.metrics.ran(servable, Answers.of(servable.signature, [Answer("malignant")]), 0.001)
    assert live.samples()["predictor_predictions_total", "9", "malignant"] == 1
    assert live.samples()["predictor_predictions_total", "9", "benign"] == 0


def test_counts_without_memory_are_reported(tmp_path):
    """By one series that exists from the start."""
    counts = Counts(memoryview(mmap.mmap(-1, 1 << 15)))
    metrics, exposition = Metrics(counts), Exposition("m", counts)
    assert "predictor_counts_full 0.0" in exposition.render().decode()
    for number in range(1000):
        metrics.answered(f"/{number}", 200, 0.1)
    assert "predictor_counts_full 1.0" in exposition.render().decode()


def test_every_request_is_in_its_bucket(live):
    """Bounds are inclusive; one at a time or a tick's at once, the sums are the same."""
    live.metrics.answered("/predict", 200, 1e-3)
    live.metrics.answered("/predict", 200, 1.5)
    live.metrics.answered_all("/predict", 200, [1e-3, 0.002, 0.0021])
    live.metrics.answered_all("/predict", 503, [])
    samples = live.samples()
    assert samples["predictor_requests_total", "200", "/predict"] == 5
    assert samples["predictor_requests_total", "503", "/predict"] == 0
    name = "predictor_request_duration_seconds"
    below = [samples[f"{name}_bucket", "/predict", le] for le in ("0.00075", "0.001", "0.002")]
    assert below == [0, 2, 3]
    assert samples[f"{name}_bucket", "/predict", "1.0"] == 4
    assert samples[f"{name}_bucket", "/predict", "+Inf"] == 5
    assert samples[f"{name}_count", "/predict"] == 5
    assert samples[f"{name}_sum", "/predict"] == pytest.approx(1.5061)


def test_a_row_without_a_prediction_counts_in_the_batch_only(live, tmp_path):
    """Computed rows and answered rows are separate counts."""
    fault = InvalidRecord([FieldError("", "not finite")])
    for servable, answers in (
        (servable_of(tmp_path, regressor()), [Answer(1.0), fault]),
        (servable_of(tmp_path, classifier(), number=2), [fault, Answer("benign")]),
    ):
        live.metrics.ran(servable, Answers.of(servable.signature, answers), 0.1)
    samples = live.samples()
    assert samples[("predictor_batch_rows_sum",)] == 4
    assert samples["predictor_predictions_total", "1", "value"] == 1
    assert samples["predictor_predictions_total", "2", "benign"] == 1


def test_the_connection_to_nats_is_there_with_a_server_for_it_only(live):
    """0 until it is made, and again when it is lost."""
    name = "predictor_fleet_connected"
    assert (name,) not in live.samples()
    for connected in (False, True, False):
        live.metrics.fleet(connected)
        assert live.samples()[(name,)] == connected


def test_refused_requests_are_counted(live):
    """Though it has no endpoint."""
    live.metrics.refused(431)
    assert live.samples()["predictor_requests_total", "431", "other"] == 1
