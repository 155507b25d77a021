"""What the commands of this folder print."""

from collections.abc import Iterable, Sequence

from scale.costs import Costs
from scale.proof import MESSAGE_SECONDS, Arrival, Result

_MAX_SECONDS, _MAX_TOLD_SECONDS, _MAX_POLLS = 2.0, 0.5, 2.0


def bars(result: Result) -> list[tuple[str, str, bool]]:
    """Each bar: what it demands, the figure, and whether it is met."""
    size, reached = result.size, result.reached
    rate = reached.polls / reached.seconds
    copies = max(reached.copies.values(), default=0)
    wrong, lost = result.predictions["wrong"], result.predictions["lost"]
    everywhere = all(
        (len(each.pollers), len(each.replicas)) == (size.pollers, size.replicas)
        for each in result.arrivals
    )
    return [
        _seen(result.promotion, size.pollers, _MAX_SECONDS, ""),
        _seen(result.told, size.pollers, _MAX_TOLD_SECONDS, " (NATS)"),
        (
            f"MLflow answers at most {_MAX_POLLS:g} polls a second",
            f"{rate:.2f} a second",
            # The first and the last half second of the time are partly outside.
            reached.polls <= _MAX_POLLS * reached.seconds + 1,
        ),
        ("one copy of each artifact leaves MLflow", f"at most {copies}", copies == 1),
        (
            "no prediction is wrong or lost",
            f"{wrong} wrong, {lost} lost of {result.predictions.total():,}",
            wrong == lost == 0 and result.predictions["right"] > 0,
        ),
        (
            "each change arrives everywhere",
            "yes" if everywhere else "no",
            everywhere,
        ),
    ]


def _seen(change: Arrival, pollers: int, seconds: float, how: str) -> tuple[str, str, bool]:
    last = max(change.pollers, default=0.0)
    return (
        f"all {pollers:,} pollers have seen a promotion within {seconds:g} s{how}",
        f"{len(change.pollers):,} within {last:.2f} s",
        len(change.pollers) == pollers and last <= seconds,
    )


def proof(result: Result) -> str:
    """Markdown tables of a run."""
    size, reached = result.size, result.reached
    arrivals = [
        (
            each.change,
            _seconds(each.pollers, 0.5), _seconds(each.pollers, 1),
            _seconds(each.replicas, 1), f"{len(each.pollers):,} + {len(each.replicas)}",
        )
        for each in result.arrivals
    ]  # fmt: skip
    outages = [
        (f"without {each.part}", f"{each.failed_polls:,}", f"{each.unreachable} of {size.replicas}")
        for each in result.outages
    ]
    rows = [
        ("polls of all replicas, a second", f"{reached.answered / (reached.seconds + 2):,.0f}"),
        ("polls that reached MLflow, a second", f"{reached.polls / reached.seconds:.2f}"),
        (f"polls that reached MLflow in the {MESSAGE_SECONDS:g} s after the message", f"{reached.after_message}"),
        ("the most in one second of the whole run", f"{reached.busiest}"),
        ("files that left MLflow", f"{sum(reached.copies.values())}, {reached.artifact_bytes / 1e3:,.1f} kB"),
        ("copies of each file", f"{max(reached.copies.values(), default=0)}"),
        ("predictions: right, wrong, lost", " / ".join(f"{result.predictions[k]:,}" for k in ("right", "wrong", "lost"))),
    ]  # fmt: skip
    return "\n\n".join(
        (
            f"{size.pollers:,} pollers and {size.replicas} predictors, a poll every {size.poll_seconds:g} s",
            _markdown(
                (
                    "change",
                    "half of the pollers, s",
                    "last poller, s",
                    "last predictor, s",
                    "arrived",
                ),
                arrivals,
            ),
            _markdown(("outage", "failed polls", "predictors that report it"), outages),
            _markdown(("what", "figure"), rows),
            _markdown(
                ("bar", "here", ""),
                [(bar, figure, "met" if met else "not met") for bar, figure, met in bars(result)],
            ),
        )
    )


def _seconds(seconds: Sequence[float], part: float) -> str:
    """The time at which this share (0 to 1) of the arrivals had come in."""
    ordered = sorted(seconds)
    return f"{ordered[max(0, round(part * len(ordered)) - 1)]:.2f}" if ordered else "never"


def measured(costs: Costs) -> str:
    """The costs of MLflow's requests and of one replica."""
    rows = [
        ("a poll", f"{costs.poll * 1e3:.1f} ms"),
        ("where a version's files are", f"{costs.download_uri * 1e3:.1f} ms"),
        ("a small file through the artifact proxy", f"{costs.small_file * 1e3:.1f} ms"),
        ("each MB of a file", f"{costs.megabyte * 1e3:.2f} ms"),
        ("a run's metrics", f"{costs.run * 1e3:.1f} ms"),
        ("the list of a version's files", f"{costs.listing * 1e3:.1f} ms"),
        ("a promotion, for each replica, 22 kB", f"{sum(costs.requests(0.022)) * 1e3:.1f} ms"),
        ("the same, 12 MB", f"{sum(costs.requests(12)) * 1e3:.1f} ms"),
        ("maximum polls of one worker", f"{costs.max_polls_per_second:.0f} /s"),
        ("loading in a replica, wall time", f"{costs.load * 1e3:.0f} ms"),
        ("memory of a replica (PSS)", f"{costs.memory:.0f} MB"),
        ("time series of a replica", f"{costs.series}"),
        ("a scrape", f"{costs.scrape_bytes / 1e3:.1f} kB"),
    ]
    conditions = f"Measured on {costs.measured_on}: {costs.machine}."
    return _markdown(("what", "cost"), rows) + "\n\n" + conditions


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
