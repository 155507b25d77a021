"""Measure the costs of a replica on a real MLflow server, on this machine."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import httpx
from mlflow import MlflowClient
from mlflow.entities import Metric

from benchmarks.machine import Machine
from benchmarks.process import cpu_nanoseconds, pss_megabytes
from demo.processes import free_port, running, start_predictor
from predictor.model_version import ModelVersion
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.source import locate
from predictor.registry.versions import RegistryClient
from scale.costs import Costs
from scale.registry import FollowedModel

_LARGE_MEGABYTES = 12  # the largest forest of the trainer's search
_CLIENTS = 8
_METRICS = 20  # per run, as many as the trainer logs
_ROUNDS = 3


@dataclass(frozen=True)
class Counts:
    """The number of requests of each kind."""

    each: int = 200
    large: int = 40
    full_seconds: float = 10


def measure(model: FollowedModel, folder: Path, counts: Counts) -> Costs:
    """Measure each request alone, then polls without pause, then one replica."""
    figures = asyncio.run(_request_costs(model, counts))
    series, scrape_bytes, memory, load = _replica(model, folder)
    machine = Machine.here()
    return Costs(
        **figures,
        load=load,
        series=series,
        scrape_bytes=scrape_bytes,
        memory=memory,
        machine=f"{machine.processor}, {machine.cores} cores, {machine.kernel}; MLflow on SQLite, one worker",
        measured_on=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


async def _request_costs(model: FollowedModel, counts: Counts) -> dict[str, float]:
    async with model.client() as client:
        registry = model.registry(client)
        version = await registry.aspired()
        assert version is not None  # noqa: S101  it was promoted
        _log_metrics(model, version)
        files = ArtifactStores(client).open(await locate(registry, version))
        await _put_large(model.url)
        large = ArtifactStores(client).open("mlflow-artifacts:/scale")
        max_bytes = 2 * _LARGE_MEGABYTES * 10**6
        requests: dict[str, tuple[Callable[[], Awaitable[object]], int]] = {
            "poll": (registry.aspired, counts.each),
            "download_uri": (
                lambda: registry.download_uri(version.name, version.version),
                counts.each,
            ),
            "run": (lambda: registry.run_metrics(version.run_id), counts.each),
            "small_file": (lambda: files.read("MLmodel", max_bytes), counts.each),
            "listing": (files.listing, counts.each),
            "large_file": (lambda: large.read("large", max_bytes), counts.large),
        }
        rounds = [
            {name: await _cost(model, *each) for name, each in requests.items()}
            for _ in range(_ROUNDS)
        ]
        seconds = {name: statistics.median(each[name] for each in rounds) for name in requests}
        large_file = seconds.pop("large_file")
        seconds["megabyte"] = (large_file - seconds["small_file"]) / _LARGE_MEGABYTES
        seconds["max_polls_per_second"] = await _max_polls_per_second(registry, counts.full_seconds)
        return seconds


async def _cost(
    model: FollowedModel, request: Callable[[], Awaitable[object]], times: int
) -> float:
    """CPU seconds of the server's processes for one request."""
    await request()
    before = cpu_nanoseconds(model.server_pid)
    for _ in range(times):
        await request()
    return (cpu_nanoseconds(model.server_pid) - before) / 1e9 / times


async def _max_polls_per_second(registry: RegistryClient, seconds: float) -> float:
    deadline = perf_counter() + seconds

    async def poll() -> int:
        count = 0
        while perf_counter() < deadline:
            await registry.aspired()
            count += 1
        return count

    return sum(await asyncio.gather(*(poll() for _ in range(_CLIENTS)))) / seconds


def _log_metrics(model: FollowedModel, version: ModelVersion) -> None:
    metrics = [Metric(f"metric_{number}", number / _METRICS, 0, 0) for number in range(_METRICS)]
    MlflowClient(model.url).log_batch(version.run_id, metrics)


async def _put_large(address: str) -> None:
    url = f"{address}/api/2.0/mlflow-artifacts/artifacts/scale/large"
    async with httpx.AsyncClient() as client:
        answer = await client.put(url, content=bytes(_LARGE_MEGABYTES * 10**6))
    answer.raise_for_status()


def _replica(model: FollowedModel, folder: Path) -> tuple[int, int, float, float]:
    """Measure a predictor after some requests: series and bytes of a scrape, memory (MB), load time (s)."""
    settings = model.settings
    env = {"MLFLOW_TRACKING_URI": settings.tracking_uri, "PREDICTOR_MODEL_URI": settings.model_uri}
    child = start_predictor(folder / "predictor", free_port(), env)
    with running(child, "/ready"), httpx.Client(base_url=child.url) as client:
        record = client.get("/openapi.json").json()["components"]["schemas"]["Record"]["example"]
        for _ in range(100):
            client.post("/predict", json=record).raise_for_status()
            client.post("/predict/batch", json={"instances": [record]}).raise_for_status()
        for path in ("/health", "/ready", "/metrics"):
            client.get(path)
        load = client.get("/model").json()["serving"]["load_seconds"]
        text = client.get("/metrics").text
        memory = pss_megabytes(child.process.pid)
    series = sum(not line.startswith("#") for line in text.splitlines())
    return series, len(text), memory, load
