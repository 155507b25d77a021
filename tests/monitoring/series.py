"""Series as `promtool test rules` takes them: two replicas that are well, and what can go wrong.

A minute is four samples. A series is its name with labels; its values are in promtool's notation:
`0+8x120` begins with 0 and grows by 8, 120 times.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SAMPLE_SECONDS = 15
MINUTES = 40
LAST = MINUTES * 60 // SAMPLE_SECONDS
REPLICAS = ("a:8000", "b:8000")

Values = Mapping[str, str]


def always(value: float) -> str:
    return f"{value}x{LAST}"


def growing(by: float) -> str:
    return f"0+{by}x{LAST}"


def from_minute(minute: int, before: float, after: float) -> str:
    """One value, then another one from that minute on."""
    samples = minute * 60 // SAMPLE_SECONDS
    return f"{before}x{samples - 1} {after}x{LAST}"


def until_minute(minute: int, by: float, then_by: float = 0) -> str:
    """Growing until that minute, and at another pace afterwards."""
    samples = minute * 60 // SAMPLE_SECONDS
    return f"0+{by}x{samples} {by * samples + then_by}+{then_by}x{LAST}"


WELL: Values = {
    "up": always(1),
    "process_start_time_seconds": always(1000),
    "predictor_worker_restarts_total": always(0),
    'predictor_workers{model_version="7"}': always(2),
    'predictor_model_version{model_name="m"}': always(7),
    'predictor_desired_model_version{model_name="m"}': always(7),
    'predictor_failed_model_version{model_name="m"}': always(0),
    'predictor_model_info{model_name="m",model_version="7",run_id="r",digest="d"}': always(1),
    "predictor_swap_skew_seconds": always(0.04),
    'predictor_registry_polls_total{outcome="answered"}': growing(7),
    'predictor_registry_polls_total{outcome="unreachable"}': always(0),
    'predictor_registry_polls_total{outcome="refused"}': always(0),
    # The time in these tests begins with 0.
    "predictor_registry_last_success_timestamp_seconds": growing(SAMPLE_SECONDS),
    "predictor_cache_failures_total": always(0),
    'predictor_requests_total{endpoint="/predict",code="200"}': growing(1500),
    'predictor_requests_total{endpoint="/predict",code="422"}': growing(15),
    'predictor_requests_total{endpoint="/predict",code="500"}': always(0),
    'predictor_requests_total{endpoint="other",code="503"}': always(0),
    'predictor_requests_total{endpoint="/metrics",code="200"}': growing(3),
    'predictor_requests_total{endpoint="/ready",code="503"}': growing(1),
    'predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.005"}': growing(1500),
    'predictor_request_duration_seconds_bucket{endpoint="/predict",le="0.25"}': growing(1515),
    'predictor_request_duration_seconds_bucket{endpoint="/predict",le="+Inf"}': growing(1515),
    'predictor_request_duration_seconds_count{endpoint="/predict"}': growing(1515),
    'predictor_event_loop_lag_seconds_bucket{le="0.002"}': growing(60),
    'predictor_event_loop_lag_seconds_bucket{le="1.0"}': growing(60),
    'predictor_event_loop_lag_seconds_bucket{le="+Inf"}': growing(60),
    'predictor_predictions_total{model_version="6",prediction="benign"}': until_minute(10, 60),
    'predictor_predictions_total{model_version="6",prediction="malignant"}': until_minute(10, 40),
    'predictor_predictions_total{model_version="7",prediction="benign"}': growing(70),
    'predictor_predictions_total{model_version="7",prediction="malignant"}': growing(40),
    'predictor_unanswered_rows_total{model_version="7"}': growing(1),
    'predictor_inference_timeouts_total{model_version="7"}': always(0),
    "predictor_counts_full": always(0),
    'predictor_webhook_deliveries_total{outcome="accepted"}': growing(1),
    'predictor_webhook_deliveries_total{outcome="bad_signature"}': always(0),
    "predictor_key_file_failures_total": always(0),
    'predictor_approvals{model_name="m"}': always(2),
    "predictor_approvals_required": always(2),
    "predictor_approvals_expiry_timestamp_seconds": always(0),
    "predictor_fleet_connected": always(1),
    'predictor_recorded_rows_total{outcome="recorded"}': growing(1500),
    'predictor_recorded_rows_total{outcome="dropped"}': always(0),
    'predictor_recorded_rows_total{outcome="refused"}': always(0),
    "predictor_record_waiting_seconds": always(0),
    "predictor_shadow_model_version": always(8),
    "predictor_shadow_failed": always(0),
    "predictor_shadow_restarts_total": always(0),
    'predictor_shadow_rows_total{outcome="compared"}': growing(1500),
    'predictor_shadow_flips_total{serving="benign",shadow="malignant"}': growing(1),
}


def named(start: str) -> str:
    """The one series of the healthy replica whose name and labels begin like this."""
    (found,) = (series for series in WELL if series.startswith(start))
    return found


@dataclass(frozen=True)
class Scenario:
    """What is different from two replicas that are well, and which alerts that means.

    `fires` has how many series of each alert fire after so many minutes. `a` and `both` change
    series of one replica or of both; None takes one away. `gone` takes away all of those replicas.
    """

    story: str
    fires: Mapping[str, int]
    after: int = 20
    a: Mapping[str, str | None] = field(default_factory=dict)
    both: Mapping[str, str | None] = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    def series(self) -> Iterator[dict[str, str]]:
        for replica in REPLICAS:
            changed = {**self.both, **(self.a if replica == REPLICAS[0] else {})}
            before = {} if replica in self.gone else WELL
            for name, values in {**before, **changed}.items():
                if values is not None:
                    yield {"series": _labelled(name, replica), "values": values}

    def test(self) -> dict[str, Any]:
        """One test of `promtool test rules`: exactly these alerts fire, and no other."""
        firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
        expected = [
            {"labels": f'{{alertname="{alert}"}}', "value": count}
            for alert, count in sorted(self.fires.items())
        ]
        return {
            "name": self.story,
            "interval": f"{SAMPLE_SECONDS}s",
            "input_series": list(self.series()),
            "promql_expr_test": [
                {"expr": firing, "eval_time": f"{self.after}m", "exp_samples": expected}
            ],
        }


def _labelled(series: str, replica: str) -> str:
    name, _, labels = series.rstrip("}").partition("{")
    return f'{name}{{job="predictor",instance="{replica}"{"," if labels else ""}{labels}}}'
