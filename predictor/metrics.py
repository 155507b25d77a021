"""Every metric, its name and its help. The only import of prometheus_client."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from predictor import events
from predictor.answers import Answer
from predictor.errors import RequestError
from predictor.model_version import ModelVersion
from predictor.servable import Servable

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY = (
    50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1,
    0.25, 0.5, 1.0,
)  # fmt: skip
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
_MOST_LABELS = 50  # a model of more classes is counted under "other" beyond these


class Metrics:
    """The service's metrics in one CollectorRegistry."""

    def __init__(self, registry: CollectorRegistry, model_name: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        self._registry = registry
        self._model_name = model_name
        self._labels: set[str] = set()
        self.version = Gauge(
            "predictor_model_version", "Model version that serves now; 0 for none.",
            ["model_name"], registry=registry,
        )  # fmt: skip
        self.aspired = Gauge(
            "predictor_aspired_model_version",
            "Model version that the registry last said should serve; 0 for none.",
            ["model_name"], registry=registry,
        )  # fmt: skip
        self.info = Gauge(
            "predictor_model_info", "1 for the model version that serves now, with its identity.",
            ["model_name", "model_version", "run_id", "digest"], registry=registry,
        )  # fmt: skip
        self.requests = Counter(
            "predictor_requests_total", "HTTP requests answered.", ["endpoint", "code"],
            registry=registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "predictor_request_duration_seconds",
            "Seconds from a request's head to the end of its answer.", ["endpoint"],
            buckets=_LATENCY, registry=registry,
        )  # fmt: skip
        self.predictions = Counter(
            "predictor_predictions_total", "Rows answered, by the version and the class it gave.",
            ["model_version", "prediction"], registry=registry,
        )  # fmt: skip
        self.batch_rows = Histogram(
            "predictor_batch_rows", "Rows in one ONNX Runtime call.", buckets=_ROWS,
            registry=registry,
        )  # fmt: skip
        self.inference_seconds = Histogram(
            "predictor_inference_duration_seconds", "Seconds in one ONNX Runtime call.",
            buckets=(5e-6, 10e-6, 20e-6, *_LATENCY), registry=registry,
        )  # fmt: skip
        self.swaps = Counter(
            "predictor_swaps_total", "Swaps of the serving version.", ["reason"], registry=registry
        )
        self.load_failures = Counter(
            "predictor_load_failures_total", "Versions that could not be made ready.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self.cache_failures = Counter(
            "predictor_cache_failures_total",
            "Times that the cache could not be written; the version serves from memory.",
            registry=registry,
        )
        self.load_seconds = Histogram(
            "predictor_load_duration_seconds", "Seconds from the registry's word to the swap.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), registry=registry,
        )  # fmt: skip
        self.polls = Counter(
            "predictor_registry_polls_total", "Questions to the registry.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.last_success = Gauge(
            "predictor_registry_last_success_timestamp_seconds",
            "When the registry last gave an answer, in seconds since the epoch; 0 for never.",
            registry=registry,
        )  # fmt: skip
        # A gauge that is absent cannot alert: what ops watch is there from the start.
        self.version.labels(model_name).set(0)
        self.aspired.labels(model_name).set(0)
        for reason in ("promoted", "rolled_back", "restored", "withdrawn"):
            self.swaps.labels(reason)
        for outcome in ("answered", "unreachable", "refused", "nonsense"):
            self.polls.labels(outcome)

    def render(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def observe(self, event: events.Event) -> None:
        """Count one event."""
        match event:
            case events.RegistryAnswered(aspired):
                self.polls.labels("answered").inc()
                self.aspired.labels(self._model_name).set(aspired.number if aspired else 0)
                self.last_success.set_to_current_time()
            case events.RegistryFailed(outcome):
                self.polls.labels(outcome).inc()
            case events.CacheFailed():
                self.cache_failures.inc()
            case events.LoadFailed(stage=stage):
                self.load_failures.labels(stage).inc()
            case events.Swapped(_, serving, reason, seconds, digest):
                self.swaps.labels(reason).inc()
                self._serves(serving, digest)
                if serving and reason != "restored":
                    self.load_seconds.observe(seconds)

    def ran(
        self, servable: Servable, answers: Sequence[Answer | RequestError], seconds: float
    ) -> None:
        """Count one ONNX Runtime call."""
        self.batch_rows.observe(len(answers))
        self.inference_seconds.observe(seconds)
        for answer in answers:
            if isinstance(answer, Answer):
                label = (
                    self._label(answer.prediction) if servable.signature.outputs.label else "value"
                )
                self.predictions.labels(servable.model_version.version, label).inc()

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one HTTP request."""
        self.requests.labels(endpoint, code).inc()
        self.request_seconds.labels(endpoint).observe(seconds)

    def refused(self, code: int) -> None:
        """Count one HTTP request that was refused before it was one."""
        self.requests.labels("other", code).inc()

    def _serves(self, version: ModelVersion | None, digest: str) -> None:
        self.version.labels(self._model_name).set(version.number if version else 0)
        self.info.clear()
        if version:
            self.info.labels(version.name, version.version, version.run_id, digest).set(1)

    def _label(self, prediction: object) -> str:
        label = str(prediction)
        if label not in self._labels:
            if len(self._labels) >= _MOST_LABELS:
                return "other"
            self._labels.add(label)
        return label
