"""Results as a run would find them, made up."""

from dataclasses import replace

from benchmarks.machine import Machine
from benchmarks.parts.batch import Batch
from benchmarks.parts.growth import Growth, Point
from benchmarks.parts.grpc import CALL, EMPTY_CALL, EMPTY_STREAM, STREAM, Grpc
from benchmarks.parts.http import Http, Rounds
from benchmarks.parts.memory import SwapMemory
from benchmarks.parts.models import NUMBERS, TEXTS
from benchmarks.parts.protocols import LIMITS, PREDICT, Protocols
from benchmarks.parts.steps import Steps
from benchmarks.parts.swap import Swap
from benchmarks.parts.traces import OFF, ON, SAMPLED, Traces
from benchmarks.parts.workers import Load, Workers
from benchmarks.peers.ours import PREDICTOR_V2
from benchmarks.peers.run import Peer, Peers
from benchmarks.peers.triton.contenders import TRITON
from benchmarks.results import Results
from benchmarks.sample import Sample
from benchmarks.servers import BY_HAND, EMPTY, PREDICTOR
from stress.observation import Memory

SAMPLE = Sample(
    connections=32, requests=100, requests_per_second=1000, p50_us=100, p99_us=200, cpu_us=30
)
MACHINE = Machine("A processor", 2, "Linux 6", 0.5, {"Python": "3.11", "wrk": "4.1"}, "abc1234")


def rounds(predictor: Sample, by_hand: Sample = SAMPLE) -> Rounds:
    """Three equal rounds of each server."""
    return {EMPTY: [SAMPLE] * 3, BY_HAND: [by_hand] * 3, PREDICTOR: [predictor] * 3}


def fast() -> Results:
    """A run in which every target is just met."""
    many = replace(SAMPLE, requests_per_second=2500, cpu_us=13.5)
    sampled = replace(SAMPLE, requests_per_second=2500 * 0.7)
    by_hand = replace(SAMPLE, requests_per_second=2500 / 12)
    one = replace(SAMPLE, connections=1, p50_us=110)
    http = Http(
        "logistic regression",
        {1: rounds(one), 32: rounds(many, by_hand)},
        {EMPTY: 20, BY_HAND: 60, PREDICTOR: 110},
    )
    texts = replace(SAMPLE, requests_per_second=1000 * 0.4)
    columns = Http(
        "10 columns",
        {32: {EMPTY: [SAMPLE] * 3, NUMBERS: [SAMPLE] * 3, TEXTS: [texts] * 3}},
        {},
        {
            name: Batch(100, [each] * 3, [2e5] * 3)
            for name, each in ((NUMBERS, SAMPLE), (TEXTS, texts))
        },
    )
    two = Load(replace(SAMPLE, wrk_cpu_us=15), [0.9, 0.8, 0.0])
    slower = {
        name: [replace(SAMPLE, requests_per_second=1000 * limit)] * 3
        for name, limit in LIMITS.items()
    }
    return Results(
        date="2026-11-23 12:00 UTC",
        command="make bench",
        minutes=11.5,
        machine=MACHINE,
        http=http,
        models=[replace(http, model="MLP")],
        protocols=Protocols({32: {PREDICT: [SAMPLE] * 3, **slower}}),
        swap=Swap([SAMPLE] * 3, [replace(SAMPLE, p99_us=300)] * 3, [4, 4, 4]),
        batch=[Batch(rows, [SAMPLE] * 3, [1000 * rows / 0.6] * 3) for rows in (1, 10_000)],
        start={BY_HAND: [1.0, 2.0, 1.5], PREDICTOR: [1.5, 9.0, 1.0]},
        growth=[Growth("features", [Point(30, rounds(many)), Point(300, rounds(one))])],
        traces=Traces({32: {OFF: [many] * 3, SAMPLED: [sampled] * 3, ON: [SAMPLE] * 3}}),
        texts=columns,
        workers=Workers({1: [Load(SAMPLE, [0.99])] * 3, 2: [two] * 3}),
        memory=SwapMemory(100.0, Memory(400, 390), [Memory(440, 430), Memory(420, 410)]),
        grpc=Grpc({name: [SAMPLE] * 3 for name in (EMPTY_CALL, EMPTY_STREAM, CALL, STREAM)}),
        steps=Steps({"read": [3.0, 1.0, 2.0], "compute": [6.0] * 3}, [8.5] * 3),
    )


def peers() -> Peers:
    """The service, Triton at a quarter of its speed, an empty application, and a server without figures."""
    fast, slow = (
        replace(SAMPLE, requests_per_second=r, p50_us=p) for r, p in ((4000, 50), (1000, 50))
    )
    found = [
        Peer(name, "", "", [1.5], [90.0], [sample], [sample], reference=name == EMPTY)
        for name, sample in (
            (PREDICTOR, SAMPLE), (PREDICTOR_V2, fast), (TRITON, slow), (EMPTY, SAMPLE)
        )
    ]  # fmt: skip
    other = Peer("MLServer", "1.7", "it cannot be\ninstalled")
    return Peers("2026-11-23 13:00 UTC", "make bench-peers", 4.5, MACHINE, [*found, other])
