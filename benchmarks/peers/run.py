"""Rounds of all contenders: each one in turn is started, checked, measured and stopped."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from benchmarks import servers
from benchmarks.context import BenchContext, Plan, open_context
from benchmarks.errors import BenchError
from benchmarks.machine import Machine
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.start import first_answer, post
from benchmarks.peers import environment, ours
from benchmarks.peers.bentoml import contenders as bentoml
from benchmarks.peers.contender import Contender, Entry
from benchmarks.peers.granian import contenders as granian
from benchmarks.peers.litserve import contenders as litserve
from benchmarks.peers.mlflow import contenders as mlflow
from benchmarks.peers.mlserver import contenders as mlserver
from benchmarks.peers.triton import contenders as triton
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject
from demo.processes import StartError, free_port

_KINDS = (ours, granian, triton, mlserver, mlflow, litserve, bentoml)
_MANY = 32  # connections


@dataclass
class Peer:
    """Results of one server: starts in seconds, memory (PSS, MB), samples of 1 and of 32 connections.

    `fault` says why the figures are missing or invalid. A `reference` computes no prediction.
    """

    name: str
    version: str = ""
    fault: str = ""
    starts: list[float] = field(default_factory=list)
    pss_megabytes: list[float] = field(default_factory=list)
    one: list[Sample] = field(default_factory=list)
    many: list[Sample] = field(default_factory=list)
    reference: bool = False

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return bool(self.many) and not self.fault


@dataclass(frozen=True)
class Peers:
    """One run: date, command, duration, machine, and the results of each server."""

    date: str
    command: str
    minutes: float
    machine: Machine
    peers: list[Peer]


def run(plan: Plan, command: str, console: Console) -> Peers:
    """Measure all contenders. A failure of one is recorded, and the others go on."""
    began, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = Machine.here()
    with open_context(plan, console) as context:
        model = diagnosis(LOGISTIC)
        published = publish(context.mlflow_url, context.folder, LOGISTIC, [model])
        with context.scope() as scope:  # fills the predictor's cache
            servers.predictor(scope, published)
        entry = Entry(context, published, model)
        entries = [each for kind in _KINDS for each in kind.contenders(entry)]
        peers = {
            each.name: Peer(each.name, *_build(context, each), reference=each.reference)
            for each in entries
        }
        for number in range(plan.rounds):
            context.print_step(f"Round {number + 1} of {plan.rounds}")
            for contender in entries:
                _measure(context, contender, peers[contender.name])
    minutes = round((time.monotonic() - began) / 60, 1)
    return Peers(date, command, minutes, machine, list(peers.values()))


def _build(context: BenchContext, contender: Contender) -> tuple[str, str]:
    """Build the peer's environment; return its version, and a fault if that fails."""
    if not contender.environment:
        return "", ""
    context.print_step(f"The environment of {contender.name}")
    try:
        environment.build(contender.environment)
    except BenchError as error:
        return "", str(error)
    package = contender.package or contender.environment
    version = environment.version(contender.environment, package)
    return (f"{package} {version}" if contender.package else version), ""


def _measure(context: BenchContext, contender: Contender, peer: Peer) -> None:
    if peer.fault:
        return
    request = post(contender.path, contender.body)
    start = partial(contender.start, free_port())
    body = context.folder / "peer.json"
    body.write_bytes(contender.body)
    try:
        with (
            context.plan.exclusive(),
            first_answer(context.cores, start, request, contender.check) as started,
        ):
            subject = Subject(
                contender.name,
                started.child,
                body,
                contender.check,
                contender.path,
                context.plan.tries,
            )
            _sample(context.plan.seconds, subject, peer)
            peer.starts.append(started.seconds)
    except (BenchError, StartError) as error:
        peer.fault = str(error)


def _sample(seconds: int, subject: Subject, peer: Peer) -> None:
    subject.warm_up(connections=_MANY)
    peer.one.append(subject.sample(connections=1, seconds=seconds))
    peer.many.append(subject.sample(connections=_MANY, seconds=seconds))
    peer.pss_megabytes.append(subject.pss_megabytes())
