"""Panels: the registry as seen by the replicas, and the processes."""

from grafana.panels import QUARTER, THIRD, AnyPanel, bars, lines
from grafana.queries import increase, quantile, rate, select

_LAG = "predictor_event_loop_lag_seconds"


def registry() -> list[AnyPanel]:
    """Polls of the registry, the age of its last response, and its webhooks."""
    age = f"time() - ({select('predictor_registry_last_success_timestamp_seconds')} > 0)"
    return [
        bars(
            "Polls of the registry",
            "All should be `answered`. `unreachable`: server or network. `refused`: credentials. `invalid_response`: "
            "another server responds. `internal`: a bug in the service. Runbook PredictorRegistryFails.",
            "{{outcome}}", f"sum by (outcome) ({rate('predictor_registry_polls_total')})", unit="cps",
        ),
        lines(
            "Age of the registry's last response",
            "Normally it stays below the poll interval. While it grows, a withdrawal has no effect: runbook "
            "PredictorRegistryStale.",
            "s", {"{{instance}}": age}, span=THIRD, steps=((None, "transparent"), (900, "red")),
        ),
        bars(
            "Webhook deliveries",
            "With a webhook, a change does not wait for the next poll. Refused deliveries: the secrets or the clocks "
            "differ (runbook PredictorWebhooksRefused). Without a webhook, polls find every change.",
            "{{outcome}}", f"sum by (outcome) ({increase('predictor_webhook_deliveries_total')})",
        ),
    ]  # fmt: skip


def lag() -> AnyPanel:
    """The saturation of the event loop."""
    return lines(
        "Saturation: event loop lag",
        "Delay of the event loop's timers. Every request waits for that long. A few milliseconds under load "
        "are usual. Runbook PredictorLoopLag.",
        "s", {f"p{share}": quantile(share / 100, _LAG) for share in (50, 99)}, span=QUARTER,
        steps=((None, "transparent"), (0.1, "red")),
    )  # fmt: skip


def processes() -> list[AnyPanel]:
    """The resources and restarts of each replica: sums of workers and supervisor."""
    return [*_use(), *_limits(), *_restarts()]


def _use() -> list[AnyPanel]:
    return [
        lines(
            "Memory", "Resident memory. During a swap there are two versions. If it grows with each swap, memory leaks.",
            "bytes", {"{{instance}}": select("process_resident_memory_bytes")},
        ),
        lines(
            "CPU",
            "Used cores. At the limit, the kernel gives the core to others, and the event loop is delayed.",
            "short", {"{{instance}}": rate("process_cpu_seconds_total")},
        ),
    ]  # fmt: skip


def _limits() -> list[AnyPanel]:
    return [
        lines(
            "Open files", "Open connections and files, and their limit. PREDICTOR_MAX_CONNECTIONS limits the connections.",
            "short",
            {
                "{{instance}}": select("process_open_fds"),
                "limit of {{instance}}": select("process_max_fds"),
            },
            span=THIRD,
        ),
        lines(
            "Event streams", "Clients of /events.",
            "short", {"{{instance}}": select("predictor_event_streams")}, span=THIRD,
        ),
        lines(
            "Uptime", "Seconds since the start of each replica's first process.",
            "s", {"{{instance}}": f"time() - {select('process_start_time_seconds')}"}, span=THIRD,
        ),
    ]  # fmt: skip


def _restarts() -> list[AnyPanel]:
    return [
        lines(
            "Starts and restarts",
            "Replaced workers, and starts of the replica, in the last hour. Each one closes connections of "
            "clients. Runbooks PredictorRestarts, PredictorWorkerRestarts.",
            "short",
            {
                "workers of {{instance}}": f"increase({select('predictor_worker_restarts_total')}[1h])",
                "{{instance}}": f"changes({select('process_start_time_seconds')}[1h])",
            },
        ),
        lines(
            "Memory for counts is full",
            "1: the memory is full, and new versions and classes are not counted. Runbook PredictorCountsFull.",
            "short", {"{{instance}}": select("predictor_counts_full")},
        ),
    ]  # fmt: skip
