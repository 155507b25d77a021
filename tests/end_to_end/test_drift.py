"""What real workers count of a version that the trainer made."""

from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.parts import Service, register_again, starter, wait_until
from tests.shared import Server
from trainer.data import load, split

pytestmark = pytest.mark.whole

ROWS, TRAINING = "predictor_feature_rows_total", "predictor_feature_training_rows"


def by_feature(service: Service, name: str) -> dict[str, dict[str, float]]:
    """The bins of each feature, as whichever worker is asked tells it."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(service.http.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name:
                bins = found.setdefault(sample.labels["feature"], {})
                bins[sample.labels["bin"]] = sample.value
    return found


def test_training_rows_sent_to_two_workers_are_the_training_distribution(
    trained: Server, tmp_path
) -> None:
    """Each feature of each row in the bin in which the trainer counted it; the scores out of fold, too, are there."""
    rows = split(load()).train.features.to_dict("records")
    registry = register_again(trained.url)
    registry.stage("1", "Production")
    with ExitStack() as stack:
        service = starter(stack, tmp_path)(
            registry, PREDICTOR_WORKERS="2", PREDICTOR_DRIFT_FEATURES="200"
        )
        service.until_serving("1")
        for start in range(0, len(rows), 50):
            batch = {"instances": rows[start : start + 50]}
            assert service.http.post("/predict/batch", json=batch).status_code == 200
        for record in rows[:20]:
            service.predict(record)
        wait_until(
            lambda: sum(by_feature(service, ROWS)["mean_area"].values()) == len(rows) + 20,
            "all rows are counted",
        )
        counted, training = by_feature(service, ROWS), by_feature(service, TRAINING)
        assert set(counted) == {*rows[0], "(score)"}
        assert set(training) == set(counted)
        assert {sum(bins.values()) for bins in counted.values()} == {len(rows) + 20}
        assert {sum(bins.values()) for bins in training.values()} == {len(rows)}
        for feature in rows[0]:
            more = sum(counted[feature][label] - n for label, n in training[feature].items())
            assert more == 20
            assert all(counted[feature][label] >= n for label, n in training[feature].items())
