"""The cost of traces: the predictor with them, without them, and without its fast lane."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import process, servers
from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import CONNECTIONS, Rounds, interleaved
from benchmarks.registry import Published, publish
from benchmarks.subject import Subject
from demo.processes import Child, free_port, predictor_settings, running, spawn

OFF, STOCK = "no traces", "no traces, no fast lane"
SAMPLED, ON = "traces of 1 % to a local collector", "all traces to a local collector"


@dataclass(frozen=True)
class Traces:
    """Rounds by number of connections, then by configuration."""

    loads: dict[int, Rounds]


def run(context: BenchContext) -> Traces:
    """Measure the logistic regression; all predictors run in the environment with the extra `traces`."""
    context.print_step("Traces")
    published = publish(context.mlflow_url, context.folder, "traced", [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        traced = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": _collector(scope).url,
        }
        sampler = {
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        environments: Mapping[str, Mapping[str, str]] = {
            OFF: {},
            STOCK: {"PREDICTOR_FAST_LANE": "false"},
            SAMPLED: {**traced, **sampler},
            ON: traced,
        }
        subjects = {
            name: full_predictor(scope, published, name, env) for name, env in environments.items()
        }
        return Traces(interleaved(context.plan.brief, subjects, CONNECTIONS))


def full_predictor(
    context: BenchContext, published: Published, name: str, env: Mapping[str, str]
) -> Subject:
    """Start a predictor in this environment, which has all extras."""
    port, folder = free_port(), servers.predictor_folder(context, published)
    settings = {**published.settings, **predictor_settings(folder, port), **env}
    with context.cores.pin_children_to_server():
        child = spawn(
            [sys.executable, "-m", "predictor"],
            f"http://127.0.0.1:{port}",
            folder / "predictor.log",
            settings,
        )
    context.stack.enter_context(running(child, "/ready"))
    return servers.subject(context, published, name, child, published.truth.first)


def _collector(context: BenchContext) -> Child:
    """Start the empty application as a collector, on wrk's core; it drops all spans."""
    port = free_port()
    command = servers.reference_command("empty", port)
    child = spawn(command, f"http://127.0.0.1:{port}", context.folder / "collector.log", {})
    context.stack.enter_context(running(child))
    process.lower_priority(child.process.pid)
    return child
