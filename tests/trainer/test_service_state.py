"""What a running service tells of itself, read from its `/metrics`."""

import math

import pytest

from trainer.errors import ServiceError
from trainer.service_state import Counts, Service

METRICS = """
# TYPE predictor_requests_total counter
predictor_requests_total{endpoint="/predict",code="200"} 90
predictor_requests_total{endpoint="/predict",code="503"} 6
predictor_requests_total{endpoint="/predict/batch",code="500"} 4
predictor_requests_total{endpoint="/metrics",code="500"} 1000
predictor_requests_total{endpoint="/predict/what-if",code="503"} 1000
# TYPE predictor_predictions_total counter
predictor_predictions_total{model_version="7",prediction="benign"} 50
predictor_predictions_total{model_version="7",prediction="malignant"} 30
predictor_predictions_total{model_version="6",prediction="benign"} 10
# TYPE predictor_unanswered_rows_total counter
predictor_unanswered_rows_total{model_version="7"} 2
# TYPE predictor_request_duration_seconds histogram
predictor_request_duration_seconds_bucket{endpoint="/predict/what-if",le="+Inf"} 1000
predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.001"} 80
predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.1"} 90
predictor_request_duration_seconds_bucket{endpoint="/predict",le="+Inf"} 90
predictor_request_duration_seconds_bucket{endpoint="/metrics",le="0.001"} 0
predictor_request_duration_seconds_bucket{endpoint="/metrics",le="+Inf"} 1000
"""


def test_requests_for_predictions_are_counted_and_no_others():
    """Requests with a 5xx are errors; rows are those of each version."""
    counts = Counts.parse(METRICS)
    assert (counts.requests, counts.errors) == (100, 10)
    assert counts.answered == {"7": 80, "6": 10}
    assert counts.unanswered == {"7": 2}


def test_a_quantile_is_the_upper_bound_of_its_bucket():
    """Requests of other routes do not count."""
    counts = Counts.parse(METRICS)
    assert [counts.quantile(share) for share in (0.5, 0.8, 0.99)] == [0.001, 0.001, 0.1]
    assert math.isnan(Counts().quantile(0.99))


def test_what_was_counted_since():
    """A service that was started anew has counted all of it since."""
    before = Counts(60, 1, {"7": 5}, {}, {0.001: 40, math.inf: 60})
    now = Counts.parse(METRICS)
    since = now.since(before)
    assert (since.requests, since.errors, since.answered["7"]) == (40, 9, 75)
    assert since.buckets == {0.001: 40, 0.1: 90, math.inf: 30}
    assert now.since(Counts(requests=101)) is now


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "no url", "http://[::1"])
def test_a_service_that_cannot_be_reached(url):
    """The error names it and the option."""
    with pytest.raises(ServiceError, match="does not tell its state") as raised:
        Service(url).model()
    assert "--service names it" in str(raised.value)
