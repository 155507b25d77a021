"""The proof: a real MLflow, nginx and nats-server, simulated pollers and real predictors, through changes and faults."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from mlflow import MlflowClient

from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from demo.processes import Child, free_port, start_mlflow
from predictor.fleet.status import subject_of
from scale.gateway import start_gateway
from scale.nats_server import Sender, start_nats
from scale.pollers import Plan, Pollers
from scale.replicas import Replicas

_POLL = "/api/2.0/mlflow/registered-models/alias"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_FILES = ("MLmodel", "model.onnx")
_LIMIT_SECONDS = 60.0  # for a change to arrive everywhere
MESSAGE_SECONDS = 3.0
"""How long after a message all polls that it causes have been sent."""
_LINE = re.compile(r'^(\S+) mlflow (\d+) (\d+) bytes .*"GET (\S+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Size:
    """How much is started, and how long each part lasts (seconds)."""

    pollers: int = 1000
    replicas: int = 20
    poll_seconds: float = 1.0
    steady_seconds: float = 20.0
    down_seconds: float = 10.0


@dataclass(frozen=True)
class Arrival:
    """Seconds from a change until pollers and predictors had it; fewer than there are if some never had it."""

    change: str
    pollers: tuple[float, ...]
    replicas: tuple[float, ...]


@dataclass(frozen=True)
class Outage:
    """What replicas saw while a part was stopped."""

    part: str
    failed_polls: int
    unreachable: int


@dataclass(frozen=True)
class Reached:
    """The requests that reached MLflow through the gateway, by its log.

    `polls` are those of `seconds` without a change; `after_message` are those of the three seconds after the first
    message; `busiest` is the largest number in one second of the whole run. `copies` counts the responses with each file.
    """

    polls: int
    seconds: float
    after_message: int
    answered: int
    busiest: int
    copies: dict[str, int]
    artifact_bytes: int


@dataclass(frozen=True)
class Result:
    """All figures of a run. `promotion` arrived by polls, `told` by a message; both are among the arrivals.

    `predictions` counts `right`, `wrong` and `lost` ones.
    """

    size: Size
    arrivals: tuple[Arrival, ...]
    promotion: Arrival
    told: Arrival
    outages: tuple[Outage, ...]
    reached: Reached
    predictions: Counter[str]


def prove(size: Size, folder: Path, say: Callable[[str], None]) -> Result:
    """Start everything, run through all changes and faults, and stop everything. `say` gets each step."""
    with ExitStack() as ending:
        stage = Stage(size, folder, ending, say)
        stage.until_all_serve()
        steady = stage.steady()
        promotion = stage.changed("promotion", 2)
        rollback = stage.changed("rollback", 1)
        told = stage.told("promotion, and a message over NATS", 2)
        arrivals = [promotion, rollback, told]
        arrivals.append(stage.told("rollback, and a message over NATS", 1))
        outages = []
        with stage.without("MLflow") as outage:
            outages.append(outage())
        arrivals.append(stage.changed("promotion after MLflow was down", 2))
        with stage.without("nginx") as outage:
            stage.published.promote(1)
            outages.append(outage())
        arrivals.append(stage.arrived("rollback while nginx was down, from its start", 1))
        stage.replicas.stop()
        return Result(
            size, tuple(arrivals), promotion, told, tuple(outages), stage.reached(*steady),
            stage.replicas.counts,
        )  # fmt: skip


class Stage:
    """All parts of a run."""

    def __init__(
        self, size: Size, folder: Path, ending: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._size = size
        self._folder = folder
        self._ending = ending
        self._say = say
        self._ports = {"MLflow": free_port(), "nginx": free_port()}
        self._children: dict[str, Child] = {}
        for part in self._ports:
            self._start(part)
            ending.callback(self._stop, part)
        nats_port = free_port()
        nats = start_nats(folder / "nats", nats_port)
        ending.callback(nats.stop)
        self._sender = Sender(nats_port)
        ending.callback(self._sender.close)
        self._messages: list[float] = []
        say("registering two versions")
        models = [diagnosis(LOGISTIC), diagnosis(LOGISTIC, classify__C=0.01)]
        self.published = publish(self._children["MLflow"].url, folder, "scale", models)
        gateway = self._children["nginx"].url
        say(f"starting {size.pollers:,} pollers and {size.replicas} predictors")
        settings = {
            **self.published.settings,
            "MLFLOW_TRACKING_URI": gateway,
            "PREDICTOR_POLL_SECONDS": str(size.poll_seconds),
            "PREDICTOR_NATS_URL": nats.url,
        }
        plan = _plan(size, gateway, nats_port, self.published)
        self._subject = plan.subject
        self.pollers = Pollers(plan)
        ending.callback(self.pollers.stop)
        self.replicas = Replicas(folder / "replicas", self.published, settings, size.replicas)
        ending.callback(self.replicas.stop)

    def until_all_serve(self) -> None:
        """Wait until every poller and predictor has version 1."""
        self.replicas.until_ready()
        self.arrived("start", 1)

    def steady(self) -> tuple[float, float, int]:
        """Wait without a change: its begin and end (seconds since the epoch), and the polls answered in it."""
        self._say("no change")
        began, before = time.time(), self.pollers.polls().answered
        time.sleep(self._size.steady_seconds)
        return began, time.time(), self.pollers.polls().answered - before

    def changed(self, change: str, version: int) -> Arrival:
        """Promote a version, and wait until it has arrived everywhere."""
        self.published.promote(version)
        return self.arrived(change, version)

    def told(self, change: str, version: int) -> Arrival:
        """Promote a version, send a message, and wait until all polls that it causes have been sent."""
        self.published.promote(version)
        self._messages.append(time.time())
        since = time.monotonic()
        self._sender.send(self._subject)
        found = self.arrived(change, version, since)
        time.sleep(max(0.0, since + MESSAGE_SECONDS - time.monotonic()))
        return found

    def arrived(self, change: str, version: int, since: float | None = None) -> Arrival:
        """Wait until a version has arrived everywhere: the seconds since then, or from now on."""
        self._say(change)
        since = since or time.monotonic()
        pending, replicas = list(self.replicas.children), list[float]()
        pollers: list[float] = []
        while time.monotonic() < since + _LIMIT_SECONDS:
            left = self.replicas.not_yet(str(version), pending)
            now = time.monotonic() - since
            replicas += [now] * (len(pending) - len(left))
            pending = left
            pollers = self.pollers.noticed(str(version), since)
            if not pending and len(pollers) == self._size.pollers:
                break
            time.sleep(0.05)
        return Arrival(change, tuple(sorted(each - since for each in pollers)), tuple(replicas))

    @contextmanager
    def without(self, part: str) -> Iterator[Callable[[], Outage]]:
        """Stop a part, and start it again at the end. Call the yielded function for what replicas saw."""
        self._say(f"without {part}")
        before = self.pollers.polls().failed
        self._stop(part)

        def outage() -> Outage:
            time.sleep(self._size.down_seconds)
            failed = self.pollers.polls().failed - before
            return Outage(part, failed, self.replicas.unreachable())

        yield outage
        self._start(part)

    def reached(self, began: float, ended: float, answered: int) -> Reached:
        """What reached MLflow, by the gateway's log."""
        text = (self._folder / "gateway/nginx.log").read_text(errors="replace")
        lines = [
            (datetime.fromisoformat(line[0]).timestamp(), *line[1:]) for line in _LINE.findall(text)
        ]
        polls = [moment for moment, _, _, path in lines if path == _POLL]
        files = [(path, int(size)) for _, status, size, path in lines
                 if path.startswith(f"{_ARTIFACTS}/") and status == "200"]  # fmt: skip
        return Reached(
            # The log has whole seconds: those of the whole seconds in between.
            polls=sum(began + 1 <= moment < ended - 1 for moment in polls),
            seconds=ended - began - 2,
            after_message=sum(
                int(self._messages[0]) <= moment < self._messages[0] + MESSAGE_SECONDS
                for moment in polls
            ),
            answered=answered,
            busiest=max(Counter(polls).values(), default=0),
            copies=dict(Counter(path.removeprefix(f"{_ARTIFACTS}/") for path, _ in files)),
            artifact_bytes=sum(size for _, size in files),
        )

    def _start(self, part: str) -> None:
        port = self._ports[part]
        if part == "MLflow":
            child = start_mlflow(self._folder / "mlflow", port)
        else:
            url = f"http://127.0.0.1:{self._ports['MLflow']}"
            child = start_gateway(self._folder / "gateway", url, port)
        self._children[part] = child
        child.wait_until_answers("/health", seconds=180)

    def _stop(self, part: str) -> None:
        self._children[part].stop()


def _plan(size: Size, gateway: str, nats_port: int, published: Published) -> Plan:
    client = MlflowClient(published.url, published.url)
    files = {}
    for version in ("1", "2"):
        uri = client.get_model_version_download_uri(published.name, version)
        if uri.startswith("models:/"):
            uri = client.get_logged_model(uri.removeprefix("models:/")).artifact_location
        folder = uri.removeprefix("mlflow-artifacts:/").strip("/")
        files[version] = tuple(f"{_ARTIFACTS}/{folder}/{name}" for name in _FILES)
    query = urlencode({"name": published.name, "alias": "production"})
    subject = subject_of(published.settings["PREDICTOR_MODEL_URI"])
    return Plan(
        gateway, nats_port, subject, f"{_POLL}?{query}", files, size.pollers, size.poll_seconds
    )
