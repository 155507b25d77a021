"""PromQL of the dashboard, for the selected replicas."""


def select(metric: str, labels: str = "") -> str:
    """A metric of the replicas that are selected at the top of the dashboard."""
    chosen = 'job="$job", instance=~"$instance"'
    return f"{metric}{{{chosen}{', ' if labels else ''}{labels}}}"


def of_model(metric: str) -> str:
    """A metric of the selected model."""
    return select(metric, 'model_name=~"$model"')


def rate(metric: str, labels: str = "") -> str:
    """A counter's increase per second."""
    return f"rate({select(metric, labels)}[$__rate_interval])"


def increase(metric: str, labels: str = "") -> str:
    """A counter's increase from one point to the next."""
    return f"increase({select(metric, labels)}[$__rate_interval])"


def quantiles(histogram: str) -> dict[str, str]:
    """Three quantiles of a histogram, by their legends."""
    return {f"p{share}": quantile(share / 100, histogram) for share in (50, 90, 99)}


def quantile(share: float, histogram: str, labels: str = "") -> str:
    """A quantile of a histogram; `share` is between 0 and 1."""
    return f"histogram_quantile({share}, sum by (le) ({rate(f'{histogram}_bucket', labels)}))"
