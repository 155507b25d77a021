"""The registry as replicas see it, and the processes themselves."""

from grafana.panels import HALF, QUARTER, THIRD, AnyPanel, bars, lines
from grafana.queries import increase, quantile, rate, select

_LAG = "predictor_event_loop_lag_seconds"


def registry() -> list[AnyPanel]:
    """Whether it answers, how old its last answer is, and whether its webhooks arrive."""
    age = f"time() - ({select('predictor_registry_last_success_timestamp_seconds')} > 0)"
    return [
        bars(
            "Polls of the registry",
            "`answered` should be all. `unreachable`: server or network. `refused`: credentials. `invalid_response`: "
            "something else answers. `internal`: a fault of the service. Runbook PredictorRegistryFails.",
            "{{outcome}}", f"sum by (outcome) ({rate('predictor_registry_polls_total')})", unit="cps",
        ),
        lines(
            "Age of the registry's last answer",
            "A saw of the poll interval is well. Where it climbs, a withdrawal would not arrive: runbook "
            "PredictorRegistryStale.",
            "s", {"{{instance}}": age}, span=THIRD, steps=((None, "transparent"), (900, "red")),
        ),
        bars(
            "Webhook deliveries",
            "MLflow's webhooks save the wait for the next poll. Refused ones: the secret, or the clocks "
            "differ (runbook PredictorWebhooksRefused). None at all: no webhook is set up, and polls do the work.",
            "{{outcome}}", f"sum by (outcome) ({increase('predictor_webhook_deliveries_total')})",
        ),
    ]  # fmt: skip


def processes() -> list[AnyPanel]:
    """The resources of each replica, and whether it keeps up; the sum of workers and supervisor."""
    return [*_use(), *_bounds(), *_lives()]


def _use() -> list[AnyPanel]:
    return [
        lines(
            "Memory", "Resident. A swap holds two versions for a moment; what stays higher after many is a leak.",
            "bytes", {"{{instance}}": select("process_resident_memory_bytes")},
        ),
        lines(
            "CPU",
            "Cores in use. At its limit the kernel gives the core away, and the loop comes late.",
            "short", {"{{instance}}": rate("process_cpu_seconds_total")},
        ),
        lines(
            "Event loop lag",
            "How late the loop comes to a timer: every request waits as long. A few milliseconds under load "
            "are usual. Runbook PredictorLoopLag.",
            "s", {f"p{share}": quantile(share / 100, _LAG) for share in (50, 99)}, span=HALF,
            steps=((None, "transparent"), (0.1, "red")),
        ),
    ]  # fmt: skip


def _bounds() -> list[AnyPanel]:
    return [
        lines(
            "Open files", "Connections and files, and how many there may be. PREDICTOR_MAX_CONNECTIONS bounds them.",
            "short",
            {
                "{{instance}}": select("process_open_fds"),
                "limit of {{instance}}": select("process_max_fds"),
            },
            span=QUARTER,
        ),
        lines(
            "Event streams", "Clients of /events.",
            "short", {"{{instance}}": select("predictor_event_streams")}, span=QUARTER,
        ),
    ]  # fmt: skip


def _lives() -> list[AnyPanel]:
    return [
        lines(
            "Starts and restarts",
            "Workers that were replaced, and starts of the whole replica, in the last hour. Each cuts some "
            "clients off. Runbooks PredictorRestarts, PredictorWorkerRestarts.",
            "short",
            {
                "workers of {{instance}}": f"increase({select('predictor_worker_restarts_total')}[1h])",
                "{{instance}}": f"changes({select('process_start_time_seconds')}[1h])",
            },
        ),
        lines(
            "Up since", "Seconds since each replica's first process started.",
            "s", {"{{instance}}": f"time() - {select('process_start_time_seconds')}"}, span=QUARTER,
        ),
        lines(
            "Memory for counts is full",
            "1: new versions and classes are not counted; restart the replica. Runbook PredictorCountsFull.",
            "short", {"{{instance}}": select("predictor_counts_full")}, span=QUARTER,
        ),
    ]  # fmt: skip
