"""Convert the results of a run to tables, for the terminal and docs/speed.md."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks.grid import Grid
from benchmarks.parts import drift, records, shadow
from benchmarks.parts.batch import Batch
from benchmarks.parts.growth import Growth
from benchmarks.parts.grpc import CALL, EMPTY_CALL, UNDER_WAY, Grpc
from benchmarks.parts.http import Http
from benchmarks.parts.memory import SwapMemory
from benchmarks.parts.models import BATCH_ROWS
from benchmarks.parts.protocols import PREDICT, Protocols
from benchmarks.parts.steps import Steps
from benchmarks.parts.swap import POLL_SECONDS, Swap
from benchmarks.parts.traces import OFF, Traces
from benchmarks.parts.workers import Workers
from benchmarks.results import Results
from benchmarks.sample import Sample, cpu, middle, p50, p99, rate, ratio
from benchmarks.servers import EMPTY, PREDICTOR
from benchmarks.targets import Target, targets

_LOAD = ("requests/s", "CPU µs per request", "p50 µs", "p99 µs")
_BATCH = ("connections", "rows/s", "decoding and ONNX Runtime alone, rows/s", "ratio", "p50 µs")


def grids(results: Results) -> Iterator[Grid]:
    """One table for each part that ran."""
    https = [each for each in (results.http, *results.models, results.texts) if each]
    tables: tuple[tuple[Callable[[Any], Grid], Any], ...] = (
        (targets_grid, targets(results)),
        (_http, https),
        (_model_batches, [http for http in https if http.batches]),
        (_protocols, results.protocols),
        (_swap, results.swap),
        (_batch, results.batch),
        (_process, results if results.http or results.start else None),
        (_memory, results.memory),
        (_growth, results.growth),
        (_workers, results.workers),
        (_traces, results.traces),
        (_records, results.records),
        (_shadow, results.shadow),
        (_drift, results.drift),
        (_steps, results.steps),
        (_grpc, results.grpc),
    )
    for table, found in tables:
        if found:
            yield table(found)


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
    rows = [(f"{batch.rows:,}", *_of_batch(batch)) for batch in batches]
    return Grid("Batches", ("rows in a batch", *_BATCH), rows, texts=0)


def _model_batches(https: list[Http]) -> Grid:
    rows = [
        (http.model, server, *_of_batch(batch))
        for http in https
        for server, batch in http.batches.items()
    ]
    title = f"Batches of {BATCH_ROWS} records"
    return Grid(title, ("model", "server", *_BATCH), rows, texts=2)


def _of_batch(batch: Batch) -> tuple[str, ...]:
    return (
        str(batch.samples[0].connections),
        f"{median(batch.rates):,.0f}",
        f"{median(batch.loop):,.0f}",
        f"{median(batch.shares):.2f}",
        f"{middle(batch.samples, p50):,.0f}",
    )


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


def _shadow(measured: shadow.Shadow) -> Grid:
    rows = [
        (name, *_load(samples), _times(samples, measured.half[shadow.OFF]))
        for name, samples in measured.half.items()
    ]
    columns = ("predictor", *_LOAD, "requests/s to none's")
    share = f"{measured.compared:.0%} of the rows compared"
    return Grid(f"Shadow at half of {measured.full_rate:,.0f} requests/s; {share}", columns, rows)


def _records(measured: records.Records) -> Grid:
    rows = [
        (str(connections), name, *_load(samples), _times(samples, rounds[records.OFF]))
        for connections, rounds in measured.loads.items()
        for name, samples in rounds.items()
    ]
    columns = ("connections", "predictor", *_LOAD, "requests/s to none's")
    return Grid("Records", columns, rows, texts=2)


def _drift(measured: drift.Drift) -> Grid:
    rows = [
        (str(connections), name, *_load(samples), _times(samples, rounds[drift.OFF]))
        for connections, rounds in measured.loads.items()
        for name, samples in rounds.items()
    ]
    columns = ("connections", "predictor", *_LOAD, "requests/s to none's")
    return Grid("Drift", columns, rows, texts=2)


def _workers(workers: Workers) -> Grid:
    rows = [
        (
            str(count),
            *_load([load.sample for load in loads]),
            f"{median(load.wrk for load in loads):.2f}",
            ", ".join(
                f"{median(each):.2f}"
                for each in zip(*(load.processes for load in loads), strict=True)
            ),
        )
        for count, loads in workers.rounds.items()
    ]
    columns = ("workers", *_LOAD, "cores that wrk took", "cores that each process took")
    return Grid("Workers on two cores, which wrk shares, 32 connections", columns, rows)


def _memory(memory: SwapMemory) -> Grid:
    after = [(f"after swap {number}", each) for number, each in enumerate(memory.after, 1)]
    rows = [
        (name, f"{each.rss:.0f}", f"{each.pss:.0f}")
        for name, each in (("before", memory.before), *after)
    ]
    title = f"Memory around swaps of a model of {memory.model_megabytes:.0f} MB"
    return Grid(title, ("", "RSS, MiB", "PSS, MiB"), rows)


def _steps(steps: Steps) -> Grid:
    times = {name: median(each) for name, each in steps.steps.items()}
    total = sum(times.values())
    rows = [
        (name, f"{each:.2f}", f"{each / total:.0%}".replace("%", " %"))
        for name, each in times.items()
    ]
    rows += [
        ("sum of the steps", f"{total:.2f}", ""),
        ("all steps, measured at once", f"{median(steps.whole):.2f}", ""),
    ]
    title = "CPU time of one request to /predict, 32 in each tick of the event loop"
    return Grid(title, ("step", "µs", "share"), rows)


def _grpc(grpc: Grpc) -> Grid:
    rows = [
        (
            name,
            *_load(samples),
            *(f"{ratio(samples, grpc.rounds[other], cpu):.2f}" for other in (EMPTY_CALL, CALL)),
        )
        for name, samples in grpc.rounds.items()
    ]
    columns = ("method", *_LOAD, f"CPU to the {EMPTY_CALL}'s", f"CPU to {CALL}'s")
    return Grid(f"gRPC, {UNDER_WAY} requests under way over one connection", columns, rows)


def _load(samples: list[Sample]) -> tuple[str, ...]:
    return (
        f"{middle(samples, rate):,.0f}",
        f"{middle(samples, cpu):,.1f}",
        f"{middle(samples, p50):,.0f}",
        f"{middle(samples, p99):,.0f}",
    )


def _times(samples: list[Sample], others: list[Sample]) -> str:
    return f"{ratio(samples, others, rate):.2f}"
