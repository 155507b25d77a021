"""Which version serves on each replica, since when, is that what the registry says; and the last swap."""

from grafana.panels import THIRD, AnyPanel, bars, column, lines, number, rows, said, timeline
from grafana.queries import increase, of_model, rate, select

_SERVES = of_model("predictor_model_version")
_DESIRED = of_model("predictor_desired_model_version")
_FAILED = of_model("predictor_failed_model_version")
_SINCE = select("predictor_serving_since_timestamp_seconds")
_ANSWERED_AT = select("predictor_registry_last_success_timestamp_seconds")
_CANNOT_LOAD = f"({_FAILED} > 0) != {_SERVES}"
_TIMED_OUT = f"({_FAILED} > 0) == {_SERVES}"  # only a version that serves can time out
_NONE = {"0": ("none", "red")}
_NO_FAILURE = {"0": ("none", "green")}
_ZERO_IS_WELL = ((None, "green"), (1, "red"))


def serving() -> list[AnyPanel]:
    """The figures at the top, the replicas one by one, and how it came to be so."""
    return [*_versions(), *_signs(), _replicas(), *_history()]


def _versions() -> list[AnyPanel]:
    return [
        number(
            "Versions that serve",
            "How many replicas serve each version. More than one version for longer than a moment: see "
            "the table below for who is behind, and the runbook PredictorReplicasDisagree.",
            f'count_values by (model_name) ("version", {_SERVES})', "none", ((None, "blue"),),
            legend="{{model_name}} {{version}}",
        ),
        number(
            "Not what the registry says",
            "Replicas that serve another version than the registry names. Red for minutes: look at what "
            "fails, right of here; runbook PredictorVersionDiffers.",
            f"count({_SERVES} != {_DESIRED}) or vector(0)", "none", _ZERO_IS_WELL,
        ),
        number(
            "Version that cannot be loaded",
            "It is tried again by itself. The stage and the reason are in /model and in the log "
            "(load_failed); runbook PredictorLoadFails.",
            f"max({_CANNOT_LOAD}) or vector(0)", "none", ((None, "red"),),
        ).mappings([said(_NO_FAILURE)]),
    ]  # fmt: skip


def _signs() -> list[AnyPanel]:
    errors = f"sum({rate('predictor_requests_total', _FAULTS)})"
    every = f"sum({rate('predictor_requests_total', _COUNTED)})"
    return [
        number(
            "Last swap", "When a replica last began to serve another version. Blue marks are swaps.",
            f"max({_SINCE} > 0) * 1000", "dateTimeFromNow", ((None, "blue"),),
        ),
        number(
            "Registry's last answer",
            "Age of the registry's oldest answer among replicas. Beyond a minute, promotions and withdrawals do "
            "not arrive; runbook PredictorRegistryFails.",
            f"time() - min({_ANSWERED_AT})", "s", ((None, "green"), (60, "orange"), (900, "red")),
        ),
        number(
            "Errors", "Share of requests answered with 5xx. Above 1 %: runbook PredictorErrors.",
            f"({errors} or vector(0)) / ({every} > 0) or vector(0)", "percentunit",
            ((None, "green"), (0.001, "orange"), (0.01, "red")),
        ),
    ]  # fmt: skip


def _history() -> list[AnyPanel]:
    return [
        timeline(
            "Version by replica",
            "A promotion is one step, everywhere at the same time, after the registry's own (first line). A "
            "step that is missing is a replica that did not follow.",
            {
                "registry: {{model_name}}": f"max by (model_name) ({_DESIRED})",
                "{{instance}}": f"max by (instance) ({_SERVES})",
            },
            _NONE,
        ),
        timeline(
            "Alerts that fire",
            "Empty is well. Each name is a section of docs/runbooks.md, which says what to do.",
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
        "One line for each: what it serves and since when, what the registry names, and what stands in the way. "
        "With several workers, that of the one which is behind.",
        {
            "answers Prometheus": f"max by (instance) ({select('up')})",
            "serves": f"max by (instance) ({_SERVES})",
            "registry says": f"max by (instance) ({_DESIRED})",
            "since": f"max by (instance) ({_SINCE}) * 1000",
            "cannot load": f"max by (instance) ({_CANNOT_LOAD} or {_FAILED} * 0)",
            "timed out": f"max by (instance) ({_TIMED_OUT} or {_FAILED} * 0)",
            "registry heard": f"time() - max by (instance) ({_ANSWERED_AT})",
            "workers": f"sum by (instance) ({select('predictor_workers')})",
            "identity": f"max by (instance, run_id, digest) ({of_model('predictor_model_info')})",
        },
    )
    column(panel, "answers Prometheus", "none", words={"0": ("no", "red"), "1": ("yes", "green")})
    column(panel, "serves", "none", words=_NONE)
    column(panel, "since", "dateTimeAsIso")
    for failed in ("cannot load", "timed out"):
        column(panel, failed, "none", words=_NO_FAILURE, steps=_ZERO_IS_WELL)
    column(panel, "registry heard", "s", steps=((None, "green"), (60, "orange"), (900, "red")))
    return panel


def swaps() -> list[AnyPanel]:
    """What was swapped, what failed, how long it took, and whether all followed."""
    return [*_what_happened(), *_who_followed()]


def _what_happened() -> list[AnyPanel]:
    loads = "predictor_load_duration_seconds"
    return [
        bars(
            "Swaps",
            "Each worker's own, by reason. `withdrawn`: the registry named none. `restored`: a start "
            "without the registry. A promotion without a bar did not arrive.",
            "{{reason}}", f"sum by (reason) ({increase('predictor_swaps_total')})",
        ),
        bars(
            "Failed loads and stopped computations",
            "Loads by the stage that failed, each try: `fetch` is the store's fault, `internal` ours, others the "
            "version's (runbook PredictorLoadFails). `inference`: a computation of the serving version took too "
            "long and was stopped (runbook PredictorInferenceTimesOut).",
            "{{stage}}",
            f"sum by (stage) ({increase('predictor_load_failures_total')}) or label_replace("
            f"sum({increase('predictor_inference_timeouts_total')}), \"stage\", \"inference\", \"\", \"\")",
        ),
        lines(
            "From the registry's answer to the swap",
            "Mean over the last hour: fetching, building and proving. It grows with the model's size and a "
            "slow store.",
            "s",
            {
                "{{instance}}": f"increase({select(f'{loads}_sum')}[1h]) / "
                f"(increase({select(f'{loads}_count')}[1h]) > 0)"
            },
            span=THIRD,
        ),
    ]  # fmt: skip


def _who_followed() -> list[AnyPanel]:
    return [
        lines(
            "Workers by version",
            "Two colours at one time are a swap on its way. A sum that falls is a worker that is missing.",
            "short",
            {"version {{model_version}}": f"sum by (model_version) ({select('predictor_workers')})"},
            span=THIRD,
        ),
        lines(
            "Time from the first worker's swap to the last one's",
            "Milliseconds are usual. If it grows, a worker is behind: runbook PredictorWorkersDisagree.",
            "s", {"{{instance}}": select("predictor_swap_skew_seconds")}, span=THIRD,
            steps=((None, "transparent"), (10, "red")),
        ),
        lines(
            "Files that cannot be used",
            "The cache: a start while the registry is down could not serve what was not written (runbook "
            "PredictorCacheFails). Keys: the previous ones stay valid (runbook PredictorKeysFail).",
            "short",
            {
                "cache, {{instance}}": increase("predictor_cache_failures_total"),
                "keys, {{instance}}": increase("predictor_key_file_failures_total"),
            },
            span=THIRD,
        ),
    ]  # fmt: skip
