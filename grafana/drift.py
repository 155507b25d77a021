"""Panels: has the world changed? The rows of a day, compared with the training rows and with the week before."""

from grafana.panels import HALF, AnyPanel, lines
from grafana.queries import rate, select

_TOP = 5
_FLOOR = 0.05  # of the alerts


def panels() -> list[AnyPanel]:
    """The features that changed most, by each comparison; the score; missing values and values out of range."""
    return [
        _worst(
            "Drift from training: the five worst",
            "The population stability index of a day's rows and the training rows, minus what chance explains. Above the "
            "line PredictorDriftFromTraining may fire. Empty with fewer than 200 rows in a day.",
            "training",
        ),
        _worst(
            "Change within a week: the five worst",
            "The same, compared with the seven days before. Above the line PredictorDriftInAWeek may fire.",
            "week",
        ),
        lines(
            "Jensen-Shannon distance: the five largest",
            "From 0, equal distributions, to 1. With few rows it is larger by chance; the index above allows for that.",
            "none",
            {
                "{{feature}}, {{reference}}": f"topk({_TOP}, {_of_feature('model_feature:predictor_feature_rows:js1d')})"
            },
        ),
        lines(
            "Drift of the score",
            "The index of the predictions themselves, minus what chance explains. They can change while no single feature "
            "does. No line for training if the artifact only has scores of rows that the model was fitted on.",
            "none",
            {
                "{{reference}}": _of_feature(
                    "model_feature:predictor_feature_rows:psi1d_excess", 'feature="(score)"'
                )
            },
            steps=((None, "transparent"), (_FLOOR, "red")),
        ),
        lines(
            "Values outside the training range: the five worst",
            "Share of the rows below the minimum or above the maximum of the training rows.",
            "percentunit",
            {"{{feature}}": f"topk({_TOP}, {_share('.below.|.above.')})"},
        ),
        lines(
            "Missing values, more than in training: the five worst",
            "Share of the rows without a value, minus the same share of the training rows.",
            "percentunit",
            {
                "{{feature}}": f"topk({_TOP}, {_share('.missing.')} - on (feature) {_training_share('.missing.')})"
            },
        ),
    ]  # fmt: skip


def _worst(title: str, description: str, reference: str) -> AnyPanel:
    excess = _of_feature(
        "model_feature:predictor_feature_rows:psi1d_excess", f'reference="{reference}"'
    )
    return lines(
        title, description, "none", {"{{feature}}": f"topk({_TOP}, {excess})"},
        span=HALF, steps=((None, "transparent"), (_FLOOR, "red")),
    )  # fmt: skip


def _of_feature(metric: str, labels: str = "") -> str:
    """Of the selected model: the recording rules sum over replicas."""
    return f'{metric}{{job="$job", model_name=~"$model"{", " if labels else ""}{labels}}}'


def _share(bins: str) -> str:
    """The share of rows in bins whose labels match: parentheses would need escapes at every level."""
    some = rate("predictor_feature_rows_total", f'bin=~"{bins}"')
    return f"sum by (feature) ({some}) / sum by (feature) ({rate('predictor_feature_rows_total')})"


def _training_share(bins: str) -> str:
    rows = "predictor_feature_training_rows"
    some = select(rows, f'bin=~"{bins}"')
    return f"sum by (feature) ({some}) / sum by (feature) ({select(rows)})"
