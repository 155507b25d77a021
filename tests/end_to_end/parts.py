"""The real parts as the end-to-end tests speak of them: a registry, a reference, a service."""

import functools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from typer.testing import CliRunner

from demo.processes import ROOT, Child, free_port, running, start_predictor
from exporters.contract import INPUT, PROBABILITIES
from trainer.cli import app
from trainer.registry import register

POLL_SECONDS = 0.2
MODEL = "breast-cancer"


@dataclass(frozen=True)
class Reference:
    """What a version answers, from its ONNX file and ONNX Runtime alone."""

    session: ort.InferenceSession

    def probabilities(self, record: dict[str, float]) -> dict[str, float]:
        metadata = self.session.get_modelmeta().custom_metadata_map
        names = json.loads(metadata["feature_names"])
        row = np.array([[record[name] for name in names]], np.float32)
        probabilities = self.session.run([PROBABILITIES], {INPUT: row})[0][0]
        return dict(zip(json.loads(metadata["class_labels"]), probabilities.tolist(), strict=True))


@dataclass(frozen=True)
class Registry:
    """One registered model on a real server, changed the way MLflow's own page changes it."""

    url: str
    name: str
    client: MlflowClient

    def stage(self, version: str, stage: str) -> None:
        self.client.transition_model_version_stage(self.name, version, stage)

    def versions(self) -> dict[str, str]:
        """The number of each candidate's version, by the candidate's name."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return {each.tags["candidate"]: str(each.version) for each in found}

    @functools.cache  # noqa: B019  the files of a version never change, and a run has few
    def reference(self, version: str) -> Reference:
        folder = self.client.get_model_version_download_uri(self.name, version)
        file = download_artifacts(artifact_uri=f"{folder}/model.onnx", tracking_uri=self.url)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # more would wait busily, on cores that others need
        return Reference(ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]))


def register_again(url: str) -> Registry:
    """The trained versions of a server, registered again under a name that nothing else uses."""
    client = MlflowClient(url)
    name = f"model-{uuid.uuid4().hex[:8]}"
    found = client.search_model_versions(f"name = '{MODEL}'")
    for version in sorted(found, key=lambda each: int(each.version)):
        register(
            client, model_name=name, run_id=version.run_id, source=version.source,
            description="", tags=version.tags,
        )  # fmt: skip
    return Registry(url, name, client)


@dataclass
class Service:
    """A predictor and a client of it."""

    child: Child
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.child.url, timeout=20)

    def predict(self, record: dict[str, float]) -> dict[str, Any]:
        response = self.http.post("/predict", json=record)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def example(self) -> dict[str, Any]:
        schemas = self.http.get("/openapi.json").json()["components"]["schemas"]
        return dict(schemas["Record"]["example"])

    def serving(self) -> str | None:
        serving = self.http.get("/model").json()["serving"]
        return serving["model_version"] if serving else None

    def until_serving(self, version: str | None) -> None:
        try:
            wait_until(lambda: self.serving() == version, f"version {version} serves")
        except AssertionError as error:
            raise AssertionError(f"{error}; /model says {self.http.get('/model').text}") from None

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.child.log.read_text().splitlines()]


def starter(stack: ExitStack, parent: Path) -> Callable[..., Service]:
    """A function that starts a predictor that follows a registry; the stack stops it."""

    def start(
        registry: Registry,
        folder: str = "predictor",
        module: Sequence[str] = ("predictor",),
        **settings: str,
    ) -> Service:
        env = {
            "MLFLOW_TRACKING_URI": registry.url,
            "PREDICTOR_MODEL_URI": f"models:/{registry.name}/Production",
            "PREDICTOR_POLL_SECONDS": str(POLL_SECONDS),
            **settings,
        }
        child = start_predictor(parent / folder, free_port(), env, module)
        return Service(stack.enter_context(running(child)))

    return start


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return once `true()` is; the bound is so wide that only a hang reaches it."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"after {seconds} s it was still not so that {what}"
        time.sleep(0.02)


def command(url: str, *arguments: str) -> str:
    """Run a command of the trainer in this process, which has MLflow already; return what it prints.

    A process of its own takes seconds to import it.
    """
    result = CliRunner().invoke(app, arguments, env={"MLFLOW_TRACKING_URI": url})
    assert result.exit_code == 0, result.output
    return result.stdout


def trainer(url: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `python -m trainer` as a data scientist would."""
    result = subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": url},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result
