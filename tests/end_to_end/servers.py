"""An S3 store and a service that reads from it, and a registry that is filled over REST: MLflow 2, or MLflow with workspaces or passwords."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from demo.processes import ROOT, Child, free_port, spawn
from tests.required import environment


def s3(folder: Path) -> Child:
    """Moto's server of S3's protocol."""
    port = free_port()
    command = [environment("stores"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    return spawn(command, f"http://127.0.0.1:{port}", folder / "moto.log", {})


def put_into(store: str, uri: str, contents: Mapping[str, bytes]) -> None:
    """Put files below an s3: URI; makes the bucket."""
    bucket, _, root = uri.removeprefix("s3://").partition("/")
    assert httpx.put(f"{store}/{bucket}").is_success
    for path, content in contents.items():
        assert httpx.put(f"{store}/{bucket}/{root}/{path}", content=content).is_success


_POLL = """
import asyncio
from predictor.service import compose
from predictor.settings import Settings

async def main():
    reconciler = compose(Settings.read()).reconciler
    await reconciler.reconcile()
    await reconciler.settled()
    print(reconciler.serving.model_version.version if reconciler.serving else reconciler.failure)
    await reconciler.close()

asyncio.run(main())
"""


def polled_once(settings: Mapping[str, str]) -> str:
    """The version that serves after one poll, in the environment that has the extra `s3`; or the failed load."""
    done = subprocess.run(
        [environment("stores"), "-c", _POLL], cwd=ROOT, env={**os.environ, **settings},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


class Shelf:
    """A registry over REST, asked as somebody: `client` are httpx's options, such as headers or a user."""

    def __init__(self, url: str, **client: Any) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60, **client)

    def call(self, method: str, path: str, **body: object) -> dict[str, Any]:
        """Do something, and return what the server says."""
        response = self.http.request(method, f"/api/2.0/mlflow{path}", json=body)
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())

    def run(self, experiment: str = "0") -> tuple[str, str]:
        """The id and the artifact URI of a new run."""
        info = self.call("POST", "/runs/create", experiment_id=experiment)["run"]["info"]
        return str(info["run_id"]), str(info["artifact_uri"])

    def upload(self, artifact_uri: str, contents: Mapping[str, bytes]) -> None:
        """Put files below an artifact URI, through the proxy."""
        root = artifact_uri.removeprefix("mlflow-artifacts:/")
        for path, content in contents.items():
            place = f"/api/2.0/mlflow-artifacts/artifacts/{root}/{path}"
            assert self.http.put(place, content=content).is_success

    def model(self, name: str) -> None:
        """Register a name."""
        self.call("POST", "/registered-models/create", name=name)

    def version(
        self, name: str, source: str, run_id: str = "", *, stage: str = "", **more: str
    ) -> str:
        """Register a version, and put it into a stage where one is given; return its number."""
        made = self.call(
            "POST", "/model-versions/create", name=name, source=source, run_id=run_id, **more
        )
        number = str(made["model_version"]["version"])
        if stage:
            self.stage(name, number, stage)
        return number

    def stage(self, name: str, number: str, stage: str) -> None:
        """Promote or demote."""
        self.call(
            "POST", "/model-versions/transition-stage", name=name, version=number, stage=stage,
            archive_existing_versions=stage == "Production",
        )  # fmt: skip
