"""Panels: predictions by class and version, and their records. A shift after a swap may be the first sign of a bad model."""

from grafana.panels import DASHED, HALF, THIRD, AnyPanel, lines, shares
from grafana.queries import rate, select


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
        ).override_by_regexp("/^without an answer/", [DASHED]),
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
