"""Panels: predictions by class and version, their records and the shadow. A shift after a swap may be the first sign of a bad model."""

from grafana.panels import HALF, QUARTER, THIRD, AnyPanel, lines, shares
from grafana.queries import increase, quantiles, rate, select


def panels() -> list[AnyPanel]:
    """Shares of the classes in total and by version, and the rows of each version."""
    by_class = f"sum by (prediction) ({rate('predictor_predictions_total')})"
    by_version = (
        f"sum by (model_version, prediction) ({rate('predictor_predictions_total')})"
        f" / on (model_version) group_left () "
        f"(sum by (model_version) ({rate('predictor_predictions_total')}) > 0)"
    )
    return [
        shares(
            "Share of each class",
            "Of all predicted rows. If a step at a blue mark has no explanation, roll back first "
            "(python -m trainer rollback). Runbook PredictorPredictionShift.",
            "{{prediction}}", f"{by_class} / scalar(sum({by_class}) > 0)",
        ),
        lines(
            "Share of each class, by version",
            "The same for each version alone, to compare two versions. If the lines of one class differ, the "
            "versions disagree.",
            "percentunit", {"{{prediction}}, version {{model_version}}": by_version},
        ).max(1),
        lines(
            "Predicted rows",
            "By the version that computed them. After a swap the line of the old version ends. Rows without an answer had "
            "no finite one: their requests got 422.",
            "cps", {
                "version {{model_version}}": f"sum by (model_version) ({rate('predictor_predictions_total')})",
                "without an answer, version {{model_version}}":
                    f"sum by (model_version) ({rate('predictor_unanswered_rows_total')})",
            },
        ),
        _shift(),
        lines(
            "Recorded rows and outcomes",
            "By what became of their record: runbook PredictorRecordsDropped. Zero without PREDICTOR_RECORD_URI.",
            "cps",
            {
                "{{outcome}}": f"sum by (outcome) ({rate('predictor_recorded_rows_total')})",
                "outcomes {{outcome}}": f"sum by (outcome) ({rate('predictor_outcomes_total')})",
            },
            span=THIRD,
        ),
        lines(
            "The oldest record that waits",
            "If it waits for minutes, the store cannot be written: runbook PredictorRecordsWait.",
            "s", {"{{instance}}": select("predictor_record_waiting_seconds")}, span=THIRD,
        ),
        lines(
            "Records that wait for the writer",
            "At PREDICTOR_RECORD_MAX_BYTES for each worker, records are dropped or requests refused.",
            "bytes", {"{{instance}}": select("predictor_record_waiting_bytes")}, span=THIRD,
        ),
        *_shadow(),
    ]  # fmt: skip


def _shadow() -> list[AnyPanel]:
    """How the version of PREDICTOR_SHADOW_URI compares; empty without it."""
    compared = rate("predictor_shadow_rows_total", 'outcome="compared"')
    return [
        lines(
            "Rows for the shadow",
            "What became of them. Skipped: the machine was busy. Nothing at all: runbook PredictorShadowFailed.",
            "cps", {"{{outcome}}": f"sum by (outcome) ({rate('predictor_shadow_rows_total')})"}, span=QUARTER,
        ),
        lines(
            "Share of rows with another class",
            "By the serving version's class and the shadow's. Many rows with another class mean that a promotion would change "
            "what clients see.",
            "percentunit",
            {
                "{{serving}}, shadow {{shadow}}": f"sum by (serving, shadow) ({rate('predictor_shadow_flips_total')})"
                f" / scalar(sum({compared}) > 0)"
            },
            span=QUARTER,
        ),
        lines(
            "Difference of the shadow",
            "Between both versions' probabilities of the positive class, or values of regressors.",
            "none", quantiles("predictor_shadow_difference"), span=QUARTER,
        ),
        lines(
            "Seconds of the shadow in one computation",
            "Compare with the seconds of the serving version above.",
            "s", quantiles("predictor_shadow_seconds"), span=QUARTER,
        ),
        lines(
            "Version of the shadow",
            "That of PREDICTOR_SHADOW_URI, which is compared with the serving version; 0 for none.",
            "none", {"{{instance}}": select("predictor_shadow_model_version")},
        ),
        lines(
            "Faults of the shadow",
            "Failed: it cannot be compared, runbook PredictorShadowFailed. Restarts: its process ended. Neither has an effect on "
            "predictions.",
            "none",
            {
                "{{instance}} failed": select("predictor_shadow_failed"),
                "{{instance}} restarts": increase("predictor_shadow_restarts_total"),
            },
        ),
    ]  # fmt: skip


def _shift() -> AnyPanel:
    return lines(
        "Shift from the previous versions",
        "Share of each class in six hours for the serving version, minus the share for all other versions. "
        "Beyond the lines PredictorPredictionShift fires. Empty unless there are 300 rows for each.",
        "percentunit",
        {
            "{{prediction}}": 'model_prediction:predictor_predictions_serving:share6h{job="$job", model_name=~"$model"}'
            " - on (job, model_name, prediction) model_prediction:predictor_predictions_before:share6h",
        },
        span=HALF, steps=((None, "red"), (-0.15, "transparent"), (0.15, "red")),
    )  # fmt: skip
