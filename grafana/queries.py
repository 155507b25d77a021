"""PromQL of the dashboard: series of what is chosen at its top."""


def select(metric: str, labels: str = "") -> str:
    """A metric of the replicas that are chosen at the dashboard's top."""
    chosen = 'job="$job", instance=~"$instance"'
    return f"{metric}{{{chosen}{', ' if labels else ''}{labels}}}"


def of_model(metric: str) -> str:
    """A metric that carries the model's name."""
    return select(metric, 'model_name=~"$model"')


def rate(metric: str, labels: str = "") -> str:
    """A counter's increase a second."""
    return f"rate({select(metric, labels)}[$__rate_interval])"


def increase(metric: str, labels: str = "") -> str:
    """A counter's increase from one point to the next."""
    return f"increase({select(metric, labels)}[$__rate_interval])"


def quantile(share: float, histogram: str, labels: str = "") -> str:
    """The value below which that share of a histogram's observations lies."""
    return f"histogram_quantile({share}, sum by (le) ({rate(f'{histogram}_bucket', labels)}))"
