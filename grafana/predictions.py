"""What is predicted, by class and version: a shift after a swap is the first sign of a bad model."""

from grafana.panels import HALF, AnyPanel, lines, shares
from grafana.queries import rate


def panels() -> list[AnyPanel]:
    """Shares of the classes now and by version, and how much each version answers."""
    by_class = f"sum by (prediction) ({rate('predictor_predictions_total')})"
    by_version = (
        f"sum by (model_version, prediction) ({rate('predictor_predictions_total')})"
        f" / on (model_version) group_left () "
        f"(sum by (model_version) ({rate('predictor_predictions_total')}) > 0)"
    )
    return [
        shares(
            "Share of each class",
            "Of all rows answered. A step at a blue mark came with the version: if nothing explains it, roll "
            "back first (python -m trainer rollback). Runbook PredictorPredictionShift.",
            "{{prediction}}", f"{by_class} / scalar(sum({by_class}) > 0)",
        ),
        lines(
            "Share of each class, by version",
            "The same with each version for itself: while two serve, or before and after a swap. Curves of "
            "one class that lie apart are two versions that disagree.",
            "percentunit", {"{{prediction}}, version {{model_version}}": by_version},
        ).max(1),
        lines(
            "Rows answered",
            "By the version that computed them. After a swap the old version's curve ends within the tick.",
            "cps", {"version {{model_version}}": f"sum by (model_version) ({rate('predictor_predictions_total')})"},
        ),
        _shift(),
    ]  # fmt: skip


def _shift() -> AnyPanel:
    return lines(
        "Shift against the versions before",
        "Share of each class in six hours, of the version that serves less that of all others, "
        "once each has 300 rows. Beyond the lines PredictorPredictionShift fires. Empty until there "
        "are rows enough.",
        "percentunit",
        {
            "{{prediction}}": 'model_prediction:predictor_predictions_serving:share6h{job="$job", model_name=~"$model"}'
            " - on (job, model_name, prediction) model_prediction:predictor_predictions_before:share6h",
        },
        span=HALF, steps=((None, "red"), (-0.15, "transparent"), (0.15, "red")),
    )  # fmt: skip
