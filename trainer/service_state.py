"""The state of a running service, as its `/model` and `/metrics` tell it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from trainer.errors import ServiceError

_SECONDS = 10
_PREDICTIONS = ("/predict", "/v2/", "/invocations")
_TRIED_OUT = "/predict/what-if"
_REQUESTS = "predictor_requests_total"
_SECONDS_BUCKET = "predictor_request_duration_seconds_bucket"
_ANSWERED = "predictor_predictions_total"
_UNANSWERED = "predictor_unanswered_rows_total"


@dataclass(frozen=True)
class Counts:
    """What a service has counted so far.

    `requests` and `errors` (5xx) are requests for predictions. `answered` and `unanswered` are rows by version.
    `buckets` are the requests by the upper bounds of their seconds, as Prometheus counts them: each bucket has all
    that took no longer.
    """

    requests: float = 0.0
    errors: float = 0.0
    answered: Mapping[str, float] = field(default_factory=dict)
    unanswered: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Counts":
        """Read the text of `/metrics`. Raises ValueError."""
        requests = errors = 0.0
        rows: dict[str, dict[str, float]] = {_ANSWERED: {}, _UNANSWERED: {}}
        buckets: dict[float, float] = {}
        for family in text_string_to_metric_families(text):
            for name, labels, value, *_ in family.samples:
                if name in rows:
                    of = rows[name]
                    of[labels["model_version"]] = of.get(labels["model_version"], 0.0) + value
                elif name == _REQUESTS and _is_prediction(labels["endpoint"]):
                    requests += value
                    errors += value if labels["code"].startswith("5") else 0.0
                elif name == _SECONDS_BUCKET and _is_prediction(labels["endpoint"]):
                    bound = float(labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + value
        return cls(requests, errors, rows[_ANSWERED], rows[_UNANSWERED], buckets)

    def since(self, before: "Counts") -> "Counts":
        """What was counted since `before`; all of it if the service was started anew in between."""
        fewer = any(self.buckets.get(bound, 0.0) < count for bound, count in before.buckets.items())
        if fewer or self.requests < before.requests or self.errors < before.errors:
            return self
        return Counts(
            self.requests - before.requests,
            self.errors - before.errors,
            _difference(self.answered, before.answered),
            _difference(self.unanswered, before.unanswered),
            _difference(self.buckets, before.buckets),
        )

    def plus(self, more: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.requests + more.requests,
            self.errors + more.errors,
            _sum(self.answered, more.answered),
            _sum(self.unanswered, more.unanswered),
            _sum(self.buckets, more.buckets),
        )

    def quantile(self, share: float) -> float:
        """The upper bound (seconds) of the bucket in which this share of the requests had ended; NaN without requests."""
        total = max(self.buckets.values(), default=0.0)
        if not total:
            return math.nan
        return min(bound for bound, count in self.buckets.items() if count >= share * total)


def _is_prediction(endpoint: str) -> bool:
    return endpoint.startswith(_PREDICTIONS) and endpoint != _TRIED_OUT


def _difference(now: Mapping[Any, float], before: Mapping[Any, float]) -> dict[Any, float]:
    return {key: value - before.get(key, 0.0) for key, value in now.items()}


def _sum(one: Mapping[Any, float], other: Mapping[Any, float]) -> dict[Any, float]:
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in {*one, *other}}


class Service:
    """A running service, by its URL. `key` is an operations key, where the service needs one."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=_SECONDS)
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceError(url, f"it is no URL ({error})") from None

    def model(self) -> dict[str, Any]:
        """The body of `GET /model`. Raises ServiceError."""
        try:
            return dict(self._get("/model").json())
        except ValueError:
            raise ServiceError(self.url, "`/model` is not that of this service") from None

    def counts(self) -> Counts:
        """What `/metrics` counts. Raises ServiceError."""
        try:
            return Counts.parse(self._get("/metrics").text)
        except (ValueError, KeyError):
            raise ServiceError(self.url, "`/metrics` is not that of this service") from None

    def _get(self, path: str) -> httpx.Response:
        try:
            response = self._client.get(path)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ServiceError(self.url, f"it cannot be reached ({reason})") from None
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceError(self.url, "it needs an operations key: --service-key-file FILE")
        if not response.is_success:
            raise ServiceError(self.url, f"`{path}` answered {response.status_code}")
        return response
