"""What traces cost: the predictor without them, without its fast lane, and with them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import process, servers
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import CONNECTIONS, Rounds, interleaved
from benchmarks.registry import Published, publish
from benchmarks.stage import Stage
from benchmarks.subject import Subject
from demo.processes import Child, free_port, predictor_settings, running, spawn

OFF, STOCK = "no traces", "no traces, no fast lane"
SAMPLED, ON = "traces of 1 % to a local collector", "all traces to a local collector"


@dataclass(frozen=True)
class Traces:
    """Rounds by the number of connections."""

    loads: dict[int, Rounds]


def run(stage: Stage) -> Traces:
    """Logistic regression, each predictor from the environment that has the extra `traces`."""
    stage.say("Traces")
    published = publish(stage.mlflow_url, stage.folder, "traced", [diagnosis(LOGISTIC)])
    with stage.scene() as scene:
        traced = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": _collector(scene).url,
        }
        sampler = {
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        ways: Mapping[str, Mapping[str, str]] = {
            OFF: {},
            STOCK: {"PREDICTOR_FAST_LANE": "false"},
            SAMPLED: {**traced, **sampler},
            ON: traced,
        }
        subjects = {name: _predictor(scene, published, name, env) for name, env in ways.items()}
        return Traces(interleaved(stage.plan.brief, subjects, CONNECTIONS))


def _predictor(stage: Stage, published: Published, name: str, env: Mapping[str, str]) -> Subject:
    port, folder = free_port(), servers.predictor_folder(stage, published)
    settings = {**published.settings, **predictor_settings(folder, port), **env}
    with stage.cores.of_the_server():
        child = spawn(
            [sys.executable, "-m", "predictor"],
            f"http://127.0.0.1:{port}",
            folder / "predictor.log",
            settings,
        )
    stage.stack.enter_context(running(child, "/ready"))
    return servers.subject(stage, published, name, child, published.truth.first)


def _collector(stage: Stage) -> Child:
    """An application that does nothing takes spans, and forgets them; it is on wrk's core."""
    port = free_port()
    command = servers.reference_command("empty", port)
    child = spawn(command, f"http://127.0.0.1:{port}", stage.folder / "collector.log", {})
    stage.stack.enter_context(running(child))
    process.step_back(child.process.pid)
    return child
