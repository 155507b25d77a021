"""Every metric, declared once: name, kind, help, labels and buckets."""

from dataclasses import dataclass
from typing import Literal

_LATENCY = (
    50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1,
    0.25, 0.5, 1.0,
)  # fmt: skip
_INFERENCE = (5e-6, 10e-6, 20e-6, *_LATENCY)
_LAG = (1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LOAD = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DIFFERENCE = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0, 100.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0)


@dataclass(frozen=True)
class Family:
    """A metric as Prometheus names it; `buckets` are a histogram's inclusive upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


VERSION = Family(
    "predictor_model_version", "gauge", "Model version that serves now; 0 for none.",
    ("model_name",),
)  # fmt: skip
DESIRED = Family(
    "predictor_desired_model_version", "gauge",
    "Model version that should serve, by the registry's last response; 0 for none.", ("model_name",),
)  # fmt: skip
ASPIRED = Family(
    "predictor_aspired_model_version", "gauge",
    "Deprecated, removed in the next release: use predictor_desired_model_version.", ("model_name",),
)  # fmt: skip
FAILED = Family(
    "predictor_failed_model_version", "gauge",
    "Model version that could not be loaded, or whose computation was stopped; 0 for none.", ("model_name",),
)  # fmt: skip
SINCE = Family(
    "predictor_serving_since_timestamp_seconds", "gauge",
    "When the serving version took over, in seconds since the epoch; 0 if none serves.",
)  # fmt: skip
INFO = Family(
    "predictor_model_info", "gauge", "1 for the model version that serves now, with its identity.",
    ("model_name", "model_version", "run_id", "digest"),
)  # fmt: skip
REQUESTS = Family(
    "predictor_requests_total", "counter", "HTTP requests answered.", ("endpoint", "code")
)
REQUEST_SECONDS = Family(
    "predictor_request_duration_seconds", "histogram",
    "Seconds from a request's head to the end of its response; for `/events`, to its start.",
    ("endpoint",), _LATENCY,
)  # fmt: skip
PREDICTIONS = Family(
    "predictor_predictions_total", "counter",
    "Rows answered, by version and class; `value` for a regressor, `other` for a value that is not in the "
    "version's list of classes. Rows that were only tried out are in no metric of rows.",
    ("model_version", "prediction"),
)  # fmt: skip
UNANSWERED = Family(
    "predictor_unanswered_rows_total", "counter",
    "Rows without an answer, because the model's was not finite or not one of its classes.", ("model_version",),
)  # fmt: skip
BATCH_ROWS = Family(
    "predictor_batch_rows", "histogram", "Rows in one ONNX Runtime call.", (), _ROWS
)
INFERENCE_SECONDS = Family(
    "predictor_inference_duration_seconds", "histogram", "Seconds in one ONNX Runtime call.",
    (), _INFERENCE,
)  # fmt: skip
INFERENCE_TIMEOUTS = Family(
    "predictor_inference_timeouts_total", "counter",
    "ONNX Runtime calls that were stopped because they took too long.", ("model_version",),
)  # fmt: skip
SWAPS = Family(
    "predictor_swaps_total", "counter", "Swaps of the serving version.", ("reason",)
)  # fmt: skip
LOAD_FAILURES = Family(
    "predictor_load_failures_total", "counter", "Loads of versions that failed, by stage.",
    ("stage",),
)  # fmt: skip
CACHE_FAILURES = Family(
    "predictor_cache_failures_total", "counter",
    "Failed writes to the cache; the version serves from memory.",
)  # fmt: skip
LOAD_SECONDS = Family(
    "predictor_load_duration_seconds", "histogram", "Seconds from the registry's response to the swap.",
    (), _LOAD,
)  # fmt: skip
POLLS = Family("predictor_registry_polls_total", "counter", "Polls of the registry.", ("outcome",))
ANSWERED_AT = Family(
    "predictor_registry_last_success_timestamp_seconds", "gauge",
    "When the registry last answered, in seconds since the epoch; 0 for never.",
)  # fmt: skip
WORKERS = Family(
    "predictor_workers", "gauge", "Processes that serve each model version, or `none`.",
    ("model_version",),
)  # fmt: skip
SWAP_SKEW = Family(
    "predictor_swap_skew_seconds", "gauge",
    "Seconds between the swaps of the first and the last worker; grows until all serve one version.",
)  # fmt: skip
DELIVERIES = Family(
    "predictor_webhook_deliveries_total",
    "counter",
    "Deliveries of MLflow's webhooks.",
    ("outcome",),
)
STREAMS = Family("predictor_event_streams", "gauge", "Clients of `/events` now.")
RESTARTS = Family(
    "predictor_worker_restarts_total", "counter", "Workers that ended and were replaced."
)
LAG = Family(
    "predictor_event_loop_lag_seconds", "histogram",
    "Delay of the event loop's timers in seconds, measured four times a second.", (), _LAG,
)  # fmt: skip
COUNTS_FULL = Family(
    "predictor_counts_full", "gauge",
    "1 while the memory for counts is full and new series are missing; else 0.",
)  # fmt: skip
KEY_FILE_FAILURES = Family(
    "predictor_key_file_failures_total", "counter",
    "Failed reloads of a file of keys or approvers; its previous content stays valid.",
)  # fmt: skip
APPROVALS = Family(
    "predictor_approvals", "gauge", "Valid approvals of the desired version.", ("model_name",)
)  # fmt: skip
APPROVALS_REQUIRED = Family(
    "predictor_approvals_required", "gauge",
    "Approvals that a version needs before it serves; 0 without PREDICTOR_APPROVERS_FILE.",
)  # fmt: skip
APPROVALS_EXPIRE = Family(
    "predictor_approvals_expiry_timestamp_seconds", "gauge",
    "When the approvals of the serving version cease to be enough, in seconds since the epoch; 0 for never.",
)  # fmt: skip
FLEET_CONNECTED = Family(
    "predictor_fleet_connected", "gauge",
    "1 while every process is connected to NATS, else 0; absent without PREDICTOR_NATS_URL.",
)  # fmt: skip
RECORDED = Family(
    "predictor_recorded_rows_total", "counter",
    "Rows by what became of their record: `recorded`, `dropped` (answered without one), `refused` (answered 503).",
    ("outcome",),
)  # fmt: skip
RECORD_BYTES = Family(
    "predictor_record_waiting_bytes", "gauge", "Recorded rows that are not written as Parquet yet, in bytes."
)  # fmt: skip
RECORD_SECONDS = Family(
    "predictor_record_waiting_seconds", "gauge",
    "Seconds for which the oldest file of recorded rows has waited for the writer.",
)  # fmt: skip
OUTCOMES = Family(
    "predictor_outcomes_total", "counter",
    "Outcomes by `POST /outcomes`: `accepted`, or `refused` (invalid, or could not be kept).", ("outcome",),
)  # fmt: skip
FEATURE_ROWS = Family(
    "predictor_feature_rows_total", "counter",
    "Rows answered by the serving version, by bin of the training data, for each feature and for `(score)`; absent for a "
    "version without training bins, and with PREDICTOR_DRIFT_FEATURES=0.",
    ("model_version", "feature", "bin"),
)  # fmt: skip
FEATURE_TRAINING_ROWS = Family(
    "predictor_feature_training_rows", "gauge", "Training rows of the serving version in the same bins.",
    ("model_version", "feature", "bin"),
)  # fmt: skip
SHADOW_VERSION = Family(
    "predictor_shadow_model_version", "gauge",
    "Model version of the shadow, 0 for none; absent without PREDICTOR_SHADOW_URI.",
)  # fmt: skip
SHADOW_FAILED = Family(
    "predictor_shadow_failed", "gauge",
    "1 while the shadow cannot be compared because of a fault, else 0; absent without PREDICTOR_SHADOW_URI.",
)  # fmt: skip
SHADOW_RESTARTS = Family(
    "predictor_shadow_restarts_total", "counter", "Processes of the shadow that ended and were replaced."
)  # fmt: skip
SHADOW_ROWS = Family(
    "predictor_shadow_rows_total", "counter",
    "Rows for the shadow: `compared`, `skipped` (it was busy or not there), `failed`, `not_finite` (its answer was).",
    ("outcome",),
)  # fmt: skip
SHADOW_FLIPS = Family(
    "predictor_shadow_flips_total", "counter", "Rows to which the shadow gave another class than the serving version.",
    ("serving", "shadow"),
)  # fmt: skip
SHADOW_DIFFERENCE = Family(
    "predictor_shadow_difference", "histogram",
    "Absolute difference between the two versions' probabilities of the positive class, or values of regressors.",
    (), _DIFFERENCE,
)  # fmt: skip
SHADOW_SECONDS = Family(
    "predictor_shadow_seconds", "histogram", "Seconds of the shadow in one computation.", (), _INFERENCE
)  # fmt: skip

FAMILIES = (
    VERSION, DESIRED, ASPIRED, FAILED, SINCE, INFO, REQUESTS, REQUEST_SECONDS, PREDICTIONS, UNANSWERED,
    BATCH_ROWS, INFERENCE_SECONDS, INFERENCE_TIMEOUTS, SWAPS, LOAD_FAILURES, CACHE_FAILURES, LOAD_SECONDS,
    POLLS, ANSWERED_AT,
    WORKERS, SWAP_SKEW, RESTARTS, STREAMS, LAG, COUNTS_FULL, DELIVERIES,
    KEY_FILE_FAILURES, APPROVALS, APPROVALS_REQUIRED, APPROVALS_EXPIRE, FLEET_CONNECTED,
    RECORDED, RECORD_BYTES, RECORD_SECONDS, OUTCOMES, FEATURE_ROWS, FEATURE_TRAINING_ROWS,
    SHADOW_VERSION, SHADOW_FAILED, SHADOW_RESTARTS, SHADOW_ROWS, SHADOW_FLIPS, SHADOW_DIFFERENCE, SHADOW_SECONDS,
)  # fmt: skip

BY_BIN = frozenset({FEATURE_ROWS, FEATURE_TRAINING_ROWS})
"""Hundreds of series, which `predictor.drift` renders itself, and quickly."""
