"""Panels: the serving and the desired version of each replica, and the last swap."""

from grafana.panels import (
    NO_DATA,
    THIRD,
    AnyPanel,
    bars,
    column,
    column_of_versions,
    lines,
    names_of_versions,
    number,
    of_versions,
    rows,
    timeline,
    value_texts,
)
from grafana.queries import increase, of_model, rate, select

_SERVES = of_model("predictor_model_version")
_DESIRED = of_model("predictor_desired_model_version")
_FAILED = of_model("predictor_failed_model_version")
_SINCE = select("predictor_serving_since_timestamp_seconds")
_ANSWERED_AT = select("predictor_registry_last_success_timestamp_seconds")
_CANNOT_LOAD = f"({_FAILED} > 0) != {_SERVES}"
_TIMED_OUT = f"({_FAILED} > 0) == {_SERVES}"  # only a version that serves can time out
_NO_FAILURE = {"0": ("none", "green")}
# Zero if there is a replica; without any there is no data, and nothing is said to be well.
_ZERO = f"max({_SERVES}) * 0"
_ZERO_IS_WELL = ((None, NO_DATA), (0, "green"), (1, "red"))


def figures() -> list[AnyPanel]:
    """The figures at the top."""
    return [*_versions(), *_signs()]


def replicas() -> list[AnyPanel]:
    """The table of replicas."""
    return [_replicas()]


def _versions() -> list[AnyPanel]:
    return [
        names_of_versions(number(
            "Versions that serve",
            "Each version that a replica serves. If there are several for more than a few seconds, the row Each replica shows which "
            "is behind; runbook PredictorReplicasDisagree. Version 0: none. In all panels, a version has one colour.",
            # Without a replica there would be no name to show.
            f'count_values by (model_name) ("version", {_SERVES}) or on () label_replace(vector(0), "version", "unknown", "", "")',
            "none", ((None, NO_DATA),),
            legend="version {{version}}",
        )),
        number(
            "Not the desired version",
            "Replicas that serve another version than the desired one. If it stays red for minutes, look at the "
            "failed version to the right; runbook PredictorVersionDiffers.",
            f"count({_SERVES} != {_DESIRED}) or {_ZERO}", "none", _ZERO_IS_WELL,
        ),
        number(
            "Version that cannot be loaded",
            "The service tries it again. The stage and the reason are in /model and in the log "
            "(load_failed); runbook PredictorLoadFails.",
            f"max({_CANNOT_LOAD}) or {_ZERO}", "none", _ZERO_IS_WELL,
        ).mappings([value_texts(_NO_FAILURE)]),
    ]  # fmt: skip


def _signs() -> list[AnyPanel]:
    errors = f"sum({rate('predictor_requests_total', _FAULTS)})"
    every = f"sum({rate('predictor_requests_total', _COUNTED)})"
    return [
        number(
            "Last swap", "The time of the last swap of any replica. Blue marks are swaps.",
            f"max({_SINCE} > 0) * 1000", "dateTimeFromNow", ((None, NO_DATA), (1, "blue")),
        ),
        number(
            "Registry's last response",
            "Age of the last response, for the replica that has waited longest. After a minute without one, promotions "
            "and withdrawals have no effect there; runbook PredictorRegistryFails.",
            f"time() - min({_ANSWERED_AT})", "s", ((None, NO_DATA), (-60, "green"), (60, "orange"), (900, "red")),
        ),
        number(
            "Errors", "Share of requests answered with 5xx. Above 1 %: runbook PredictorErrors.",
            f"({errors} or vector(0)) / ({every} > 0) or {_ZERO}", "percentunit",
            ((None, NO_DATA), (0, "green"), (0.001, "orange"), (0.01, "red")),
        ),
    ]  # fmt: skip


def history() -> list[AnyPanel]:
    """Which replica served what when, and the alerts."""
    return [
        of_versions(timeline(
            "Version by replica",
            "A promotion is one step in every line, after the step of the desired version (first line). A replica "
            "without that step did not swap.",
            {
                "desired: {{model_name}}": f"max by (model_name) ({_DESIRED})",
                "{{instance}}": f"max by (instance) ({_SERVES})",
            },
            {},
        )),
        timeline(
            "Firing alerts",
            "Empty if there is no fault. Each name is a section of docs/runbooks.md, which says what to do.",
            {
                "{{alertname}} {{instance}}": "max by (alertname, instance) "
                '(ALERTS{alertstate="firing", alertname=~"Predictor.*"})',
            },
            {"1": ("fires", "red")},
        ),
    ]  # fmt: skip


_FAULTS = 'code=~"5..", endpoint!~"/ready|/health"'
_COUNTED = 'endpoint!~"/ready|/health|/metrics"'


def _replicas() -> AnyPanel:
    panel = rows(
        "Replicas",
        "For each replica: the serving version and since when, the desired version, and the last failure. "
        "With several workers, it is about the worker that is behind.",
        {
            "responds": f"max by (instance) ({select('up')})",
            "serves": f"max by (instance) ({_SERVES})",
            "desired": f"max by (instance) ({_DESIRED})",
            "since": f"max by (instance) ({_SINCE}) * 1000",
            "cannot load": f"max by (instance) ({_CANNOT_LOAD} or {_FAILED} * 0)",
            "timed out": f"max by (instance) ({_TIMED_OUT} or {_FAILED} * 0)",
            "registry response": f"time() - max by (instance) ({_ANSWERED_AT})",
            "workers": f"sum by (instance) ({select('predictor_workers')})",
            "identity": f"max by (instance, run_id, digest) ({of_model('predictor_model_info')})",
        },
    )
    column(panel, "responds", "none", words={"0": ("no", "red"), "1": ("yes", "green")})
    column_of_versions(panel, "serves")
    column_of_versions(panel, "desired")
    column(panel, "since", "dateTimeAsIso")
    for failed in ("cannot load", "timed out"):
        column(panel, failed, "none", words=_NO_FAILURE, steps=_ZERO_IS_WELL)
    column(panel, "registry response", "s", steps=((None, "green"), (60, "orange"), (900, "red")))
    return panel


def swaps() -> list[AnyPanel]:
    """Swaps and failures, their durations, the differences between workers, and approvals."""
    return [*_swaps_and_loads(), *_workers(), *_approvals()]


def _swaps_and_loads() -> list[AnyPanel]:
    loads = "predictor_load_duration_seconds"
    return [
        bars(
            "Swaps",
            "Swaps of each worker, by reason. `withdrawn`: the registry names no version. `restored`: a start "
            "without the registry. `unapproved`: approvals ended. A promotion without a bar had no effect.",
            "{{reason}}", f"sum by (reason) ({increase('predictor_swaps_total')})",
        ),
        bars(
            "Failed loads and stopped computations",
            "Failed loads by stage, each attempt. `fetch`: the artifact store. `internal`: a bug in the service. Other "
            "stages: a fault of the model (runbook PredictorLoadFails). `inference`: a computation of the serving "
            "version took too long and was stopped (runbook PredictorInferenceTimesOut).",
            "{{stage}}",
            f"sum by (stage) ({increase('predictor_load_failures_total')}) or label_replace("
            f"sum({increase('predictor_inference_timeouts_total')}), \"stage\", \"inference\", \"\", \"\")",
        ),
        lines(
            "From the registry's response to the swap",
            "Mean time of the last hour to fetch, build and check a version. A large model or a slow store "
            "increases it.",
            "s",
            {
                "{{instance}}": f"increase({select(f'{loads}_sum')}[1h]) / "
                f"(increase({select(f'{loads}_count')}[1h]) > 0)"
            },
            span=THIRD,
        ),
    ]  # fmt: skip


def _workers() -> list[AnyPanel]:
    return [
        lines(
            "Workers by version",
            "Two colours at the same time: a swap is in progress. If the sum decreases, a worker is missing.",
            "short",
            {"version {{model_version}}": f"sum by (model_version) ({select('predictor_workers')})"},
            span=THIRD,
        ),
        lines(
            "Time between the first and the last worker's swap",
            "Usually milliseconds. If it grows, a worker is behind: runbook PredictorWorkersDisagree.",
            "s", {"{{instance}}": select("predictor_swap_skew_seconds")}, span=THIRD,
            steps=((None, "transparent"), (10, "red")),
        ),
        lines(
            "Failed writes of the cache and reads of key files",
            "Cache: after a restart without the registry, an older version or none would serve (runbook "
            "PredictorCacheFails). Keys: the previous ones stay valid (runbook PredictorKeysFail).",
            "short",
            {
                "cache, {{instance}}": increase("predictor_cache_failures_total"),
                "keys, {{instance}}": increase("predictor_key_file_failures_total"),
            },
            span=THIRD,
        ),
    ]  # fmt: skip


def _approvals() -> list[AnyPanel]:
    return [
        lines(
            "Approvals of the desired version",
            "If there are fewer than required, it waits: runbook PredictorAwaitsApproval. Both are 0 without "
            "PREDICTOR_APPROVERS_FILE.",
            "short",
            {
                "approved, {{instance}}": select("predictor_approvals"),
                "required, {{instance}}": select("predictor_approvals_required"),
            },
        ),
        lines(
            "Time until the approvals of the serving version end",
            "Then it stops serving: runbook PredictorApprovalsEnd. Empty if they do not end.",
            "s",
            {
                "{{instance}}": f"({select('predictor_approvals_expiry_timestamp_seconds')} > 0) - time()"
            },
        ),
    ]  # fmt: skip
