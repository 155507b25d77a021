"""Convert the results of a run to tables, for the terminal and docs/speed.md."""

from collections.abc import Iterator
from statistics import median

from benchmarks.grid import Grid
from benchmarks.parts.batch import Batch
from benchmarks.parts.growth import Growth
from benchmarks.parts.http import Http
from benchmarks.parts.protocols import PREDICT, Protocols
from benchmarks.parts.swap import POLL_SECONDS, Swap
from benchmarks.parts.traces import OFF, Traces
from benchmarks.results import Results
from benchmarks.sample import Sample, cpu, middle, p50, p99, rate, ratio
from benchmarks.servers import EMPTY, PREDICTOR
from benchmarks.targets import Target, targets

_LOAD = ("requests/s", "CPU µs per request", "p50 µs", "p99 µs")


def grids(results: Results) -> Iterator[Grid]:
    """One table for each part that ran."""
    if found := targets(results):
        yield targets_grid(found)
    if https := [http for http in (results.http, *results.models) if http is not None]:
        yield _http(https)
    if results.protocols is not None:
        yield _protocols(results.protocols)
    if results.swap is not None:
        yield _swap(results.swap)
    if results.batch:
        yield _batch(results.batch)
    if results.http is not None or results.start:
        yield _process(results)
    if results.growth:
        yield _growth(results.growth)
    if results.traces is not None:
        yield _traces(results.traces)


def targets_grid(found: list[Target], title: str = "Targets") -> Grid:
    """Figures beside their limits."""
    rows = [(each.name, each.measured, each.wanted, each.verdict) for each in found]
    return Grid(title, ("figure", "measured", "target", ""), rows, texts=4)


def _http(https: list[Http]) -> Grid:
    rows = [
        (http.model, str(connections), name, *_load(samples), _times(samples, rounds[EMPTY]))
        for http in https
        for connections, rounds in http.loads.items()
        for name, samples in rounds.items()
    ]
    columns = ("model", "connections", "server", *_LOAD, f"requests/s to the {EMPTY}'s")
    return Grid("One record a request", columns, rows, texts=3)


def _protocols(protocols: Protocols) -> Grid:
    rows = [
        (str(connections), name, *_load(samples), _times(samples, rounds[PREDICT]))
        for connections, rounds in protocols.loads.items()
        for name, samples in rounds.items()
    ]
    columns = ("connections", "protocol", *_LOAD, f"requests/s to {PREDICT}'s")
    return Grid("Protocols", columns, rows, texts=2)


def _swap(swap: Swap) -> Grid:
    rows = [
        ("quiet", *_load(swap.quiet), "0"),
        ("a swap every second", *_load(swap.swapping), str(sum(swap.swaps))),
    ]
    return Grid(
        f"Swaps under load, 32 connections, polls every {POLL_SECONDS:g} s",
        ("", *_LOAD, "swaps"),
        rows,
    )


def _batch(batches: list[Batch]) -> Grid:
    rows = [
        (
            f"{batch.rows:,}",
            str(batch.samples[0].connections),
            f"{median(batch.rates):,.0f}",
            f"{median(batch.loop):,.0f}",
            f"{median(batch.shares):.2f}",
            f"{middle(batch.samples, p50):,.0f}",
        )
        for batch in batches
    ]
    columns = (
        "rows in a batch",
        "connections",
        "rows/s",
        "decoding and ONNX Runtime alone, rows/s",
        "ratio",
        "p50 µs",
    )
    return Grid("Batches", columns, rows, texts=0)


def _process(results: Results) -> Grid:
    memory = results.http.pss_megabytes if results.http else {}
    rows = [
        (
            name,
            f"{memory[name]:.0f}" if name in memory else "",
            f"{median(results.start[name]):.2f}" if name in results.start else "",
        )
        for name in {**memory, **results.start}
    ]
    columns = ("server", "PSS after the load, MB", "start to first right answer, s")
    return Grid("Memory and start", columns, rows)


def _growth(axes: list[Growth]) -> Grid:
    rows = [
        (growth.axis, f"{point.size:,.4g}", *_load(ours), _times(ours, point.rounds[EMPTY]))
        for growth in axes
        for point in growth.points
        for ours in [point.rounds[PREDICTOR]]
    ]
    columns = ("what grows", "size", *_LOAD, f"requests/s to the {EMPTY}'s")
    return Grid("Growth, 32 connections unless stated otherwise", columns, rows)


def _traces(traces: Traces) -> Grid:
    rows = [
        (str(connections), name, *_load(samples), _times(samples, rounds[OFF]))
        for connections, rounds in traces.loads.items()
        for name, samples in rounds.items()
    ]
    columns = ("connections", "predictor", *_LOAD, "requests/s to none's")
    return Grid("Traces", columns, rows, texts=2)


def _load(samples: list[Sample]) -> tuple[str, ...]:
    return (
        f"{middle(samples, rate):,.0f}",
        f"{middle(samples, cpu):,.1f}",
        f"{middle(samples, p50):,.0f}",
        f"{middle(samples, p99):,.0f}",
    )


def _times(samples: list[Sample], others: list[Sample]) -> str:
    return f"{ratio(samples, others, rate):.2f}"
