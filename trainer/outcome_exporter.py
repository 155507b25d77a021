"""An exporter for Prometheus: the realised performance of each version, computed anew every few minutes."""

import contextlib
import math
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trainer.errors import RecordsError, TrainerError
from trainer.outcome_report import Report

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PREFIX = "predictor_realised"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TEXTS = {
    "sensitivity": "Share of the positive outcomes that were predicted.",
    "specificity": "Share of the other outcomes that were not predicted as positive.",
    "positive_predictive_value": "Share of the positive predictions that turned out to be right.",
    "negative_predictive_value": "Share of the other predictions that turned out to be right.",
    "accuracy": "Share of the predictions that turned out to be right.",
    "balanced_accuracy": "Mean sensitivity of the classes.",
    "roc_auc": "Area under the ROC curve; of several classes, the mean of each against the rest.",
    "brier_score": "Mean squared difference of probability and outcome; of several classes, the sum over them.",
    "observed_to_expected": "Positive outcomes divided by the sum of their predicted probabilities.",
    "operating_point_sensitivity": "Share of the positive outcomes whose probability reached the operating point.",
    "operating_point_specificity": "Share of the other outcomes whose probability did not reach the operating point.",
    "mae": "Mean absolute error.",
    "rmse": "Root of the mean squared error.",
    "bias": "Mean of prediction minus outcome.",
}  # fmt: skip
_COUNTS = {
    "predictions": "Predictions that count.",
    "outcomes": "Predictions of them that have an outcome.",
    "other_outcomes": "Outcomes that are neither a class nor a value of the model, and do not count.",
    "late_outcomes": "Outcomes that came late.",
}


def render(report: Report) -> str:
    """The report in Prometheus's text format; bounds of 95 % intervals are series `NAME_low` and `NAME_high`."""
    labels = [{"model_name": each.model, "model_version": each.version} for each in report.groups]
    counts = [(each.predictions, each.outcomes, each.other, each.late) for each in report.groups]
    lines: list[str] = []
    for number, (name, meaning) in enumerate(_COUNTS.items()):
        values = [(label, count[number]) for label, count in zip(labels, counts, strict=True)]
        lines += _family(f"{_PREFIX}_{name}", meaning, values)
    for name, meaning in _TEXTS.items():
        known = [
            (label, each.metrics[name])
            for label, each in zip(labels, report.groups, strict=True)
            if name in each.metrics and not math.isnan(each.metrics[name].value)
        ]
        lines += _family(f"{_PREFIX}_{name}", meaning, [(label, e.value) for label, e in known])
        for bound in ("low", "high"):
            bounds = [(label, getattr(estimate, bound)) for label, estimate in known]
            bounds = [each for each in bounds if not math.isnan(each[1])]
            text = f"The {'lower' if bound == 'low' else 'upper'} bound of the 95 % interval."
            lines += _family(f"{_PREFIX}_{name}_{bound}", text, bounds)
    kinds = [({"kind": kind}, count) for kind, count in asdict(report.counts).items()]
    meaning = "What became of the reported outcomes of the whole record, and of repeated ids."
    lines += _family(f"{_PREFIX}_reports", meaning, kinds)
    return "".join(lines)


def _family(
    name: str, meaning: str, values: Sequence[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    if values:
        yield f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"
    for labels, value in values:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {float(value)!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Exporter:
    """The latest report as text. A computation that fails is counted and told on stderr; the previous one stays."""

    def __init__(self, compute: Callable[[], Report]) -> None:
        """Nothing is computed yet. `compute` raises TrainerError."""
        self._compute = compute
        self._text = ""
        self._failures = 0
        self._computed_at = 0.0
        self._seconds = 0.0

    def update(self) -> None:
        """Compute the report anew."""
        began = time.monotonic()
        try:
            self._text = render(self._compute())
        except TrainerError as error:
            self._failures += 1
            sys.stderr.write(f"error: {error}\n")
            return
        self._computed_at, self._seconds = time.time(), time.monotonic() - began

    def text(self) -> str:
        """What Prometheus reads."""
        own: Mapping[str, tuple[str, str, float]] = {
            "failures_total": ("counter", "Computations that failed; the previous values stay.", self._failures),
            "last_success_timestamp_seconds": ("gauge", "When the values were computed, 0 for never.", self._computed_at),
            "duration_seconds": ("gauge", "How long that took.", self._seconds),
        }  # fmt: skip
        lines = [
            f"# HELP {_PREFIX}_{name} {meaning}\n# TYPE {_PREFIX}_{name} {kind}\n{_PREFIX}_{name} {float(value)!r}\n"
            for name, (kind, meaning, value) in own.items()
        ]
        return self._text + "".join(lines)


def serve(listen: str, every: float, compute: Callable[[], Report]) -> None:
    """Serve `/metrics` until SIGTERM or Ctrl-C; compute at once, and then every so many seconds. Raises RecordsError."""
    exporter = Exporter(compute)
    server = _server(listen, exporter)
    ended = threading.Event()

    def update() -> None:
        while not ended.is_set():
            exporter.update()
            ended.wait(every)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    thread = threading.Thread(target=update, daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    sys.stdout.write(f"serving http://{host!s}:{port}/metrics\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    ended.set()
    server.server_close()


def _server(listen: str, exporter: Exporter) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        """Answers `GET /metrics`."""

        timeout = 10  # seconds without a byte

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            text = exporter.text() if found else "there is only /metrics\n"
            body = text.encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the base class
            """Scrapes are not logged."""

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise RecordsError(f"--listen {listen!r} is not HOST:PORT, such as 127.0.0.1:9109")
    try:
        return ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except (OSError, OverflowError) as error:
        raise RecordsError(f"--listen {listen}: {error}") from error


def seconds(text: str) -> float:
    """The seconds of `30s`, `5m` or `1h`. Raises RecordsError."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text.strip())
    if not found or not int(found[1]):
        raise RecordsError(
            f"--every {text!r} is no time; give seconds, minutes or hours (30s, 5m, 1h)"
        )
    return int(found[1]) * _UNITS[found[2]]
