"""Panels: what would another version say? The shadow, compared with the serving version on the same rows."""

from grafana.panels import QUARTER, AnyPanel, lines, of_versions, timeline
from grafana.queries import increase, quantiles, rate, select


def panels() -> list[AnyPanel]:
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
        of_versions(timeline(
            "Version of the shadow",
            "That of PREDICTOR_SHADOW_URI, which is compared with the serving version.",
            {"{{instance}}": select("predictor_shadow_model_version")}, {},
        )),
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
