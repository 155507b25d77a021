"""Panels: requests by endpoint and code, latency, and calls of ONNX Runtime."""

from grafana.panels import QUARTER, THIRD, AnyPanel, heat, lines
from grafana.queries import quantile, rate

_PREDICT = 'endpoint="/predict"'
_REAL = 'endpoint!~"/metrics|/health|/ready"'
_SECONDS = "predictor_request_duration_seconds"


def panels() -> list[AnyPanel]:
    """The details: endpoints, buckets, batches and calls of ONNX Runtime."""
    return [*_details(), *_calls()]


def golden() -> list[AnyPanel]:
    """Traffic, errors and latency."""
    by_code = f"sum by (code) ({rate('predictor_requests_total', _REAL)})"
    return [
        lines(
            "Traffic: requests by code",
            "422 since a blue mark: the new version has other features than clients send. 503: too many requests, "
            "or nothing serves. 500: a bug in the service or the model. Runbooks PredictorRefusals, PredictorErrors.",
            "reqps", {"{{code}}": by_code}, span=QUARTER,
        ),
        lines(
            "Errors: share of 4xx and 5xx", "Of all requests except probes and scrapes. Above the line: runbook PredictorErrors.",
            "percentunit",
            {
                "4xx": _share("4.."),
                "5xx": _share("5.."),
            },
            span=QUARTER, steps=((None, "transparent"), (0.01, "red")),
        ),
        lines(
            "Latency of /predict",
            "From a request's head to the end of its response. A step at a blue mark: a slower model. A step "
            "together with event-loop lag: too little of a core. Runbook PredictorSlow.",
            "s", {f"p{share:g}": quantile(share / 100, _SECONDS, _PREDICT) for share in (50, 90, 99, 99.9)},
            span=QUARTER, steps=((None, "transparent"), (0.1, "red")),
        ),
    ]  # fmt: skip


def _details() -> list[AnyPanel]:
    return [
        lines(
            "Requests by endpoint", "`other`: requests for unknown paths, and requests that were refused before they had a path.",
            "reqps", {"{{endpoint}}": f"sum by (endpoint) ({rate('predictor_requests_total')})"},
        ),
        heat(
            "Latency of /predict, each bucket",
            "Two bands: two kinds of requests or two versions, which percentiles do not show.",
            "s", f"sum by (le) (increase({_bucket()}[$__rate_interval]))",
        ),
    ]  # fmt: skip


def _calls() -> list[AnyPanel]:
    return [
        lines(
            "Latency of /predict/batch", "It grows with the rows of a batch: about 5 µs for each.",
            "s", {f"p{share}": quantile(share / 100, _SECONDS, 'endpoint="/predict/batch"') for share in (50, 99)},
            span=THIRD,
        ),
        lines(
            "Rows in one call",
            "Rows of one tick are computed together: with more load, calls are larger. 1: no simultaneous requests.",
            "short",
            {
                "mean": f"sum({rate('predictor_batch_rows_sum')}) / (sum({rate('predictor_batch_rows_count')}) > 0)",
                "p99": quantile(0.99, "predictor_batch_rows"),
            },
            span=THIRD,
        ),
        lines(
            "One ONNX Runtime call",
            "The computing time of the model. If it is most of the latency, the model is slow; otherwise the machine is.",
            "s",
            {f"p{share}": quantile(share / 100, "predictor_inference_duration_seconds") for share in (50, 99)},
            span=THIRD,
        ),
    ]  # fmt: skip


def _bucket() -> str:
    return f'{_SECONDS}_bucket{{job="$job", instance=~"$instance", {_PREDICT}}}'


def _share(codes: str) -> str:
    some = rate("predictor_requests_total", f'code=~"{codes}", {_REAL}')
    return f"(sum({some}) or vector(0)) / (sum({rate('predictor_requests_total', _REAL)}) > 0)"
