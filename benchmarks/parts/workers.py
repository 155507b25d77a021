"""One worker process and two, on two cores that wrk shares with them."""

from dataclasses import dataclass, replace

from benchmarks import process, servers
from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject

COUNTS = (1, 2)
_CONNECTIONS = 32


@dataclass(frozen=True)
class Load:
    """One sample, and the CPU seconds per second of each process of the predictor, the busiest first."""

    sample: Sample
    processes: list[float]

    @property
    def wrk(self) -> float:
        """CPU seconds of wrk per second."""
        return self.sample.wrk_cpu_us * self.sample.requests_per_second / 1e6


@dataclass(frozen=True)
class Workers:
    """Rounds by number of workers."""

    rounds: dict[int, list[Load]]


def run(context: BenchContext) -> Workers:
    """Measure the logistic regression; every process may run on both cores."""
    context.print_step("Workers")
    published = publish(context.mlflow_url, context.folder, "workers", [diagnosis(LOGISTIC)])
    with context.scope() as scope, scope.cores.shared():
        subjects = {
            count: replace(
                servers.predictor(scope, published, {"PREDICTOR_WORKERS": str(count)}),
                tries=1,  # three processes on two cores have to wait for them
            )
            for count in COUNTS
        }
        found = Workers({count: [] for count in COUNTS})
        for subject in subjects.values():
            subject.warm_up(connections=_CONNECTIONS)
        for _ in range(scope.plan.rounds):
            with scope.plan.exclusive():
                for count, subject in subjects.items():
                    found.rounds[count].append(_load(subject, scope.plan.seconds))
    return found


def _load(subject: Subject, seconds: int) -> Load:
    pid = subject.child.process.pid
    before = process.cpu_by_process(pid)
    sample = subject.sample(connections=_CONNECTIONS, seconds=seconds)
    after = process.cpu_by_process(pid)
    measured = sample.requests / sample.requests_per_second
    spent = [(after[each] - before.get(each, 0)) / 1e9 / measured for each in after]
    return Load(sample, sorted(spent, reverse=True))
