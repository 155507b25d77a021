"""A real registry with versions in it, over plain REST."""

import itertools
import math
import os
from pathlib import Path

import httpx
import pytest

from tests.shared import Server

_NUMBERS = itertools.count(1)
_API = "/api/2.0/mlflow"


class Registered:
    """Puts models into a real MLflow server, and does to them what people do."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def _call(self, method: str, path: str, **body: object) -> dict:
        answer = self._client.request(method, _API + path, json=body)
        answer.raise_for_status()
        return answer.json()

    def run(self, **metrics: float) -> str:
        """One run with these metrics; returns its id."""
        found = self._call("POST", "/runs/create", experiment_id="0", start_time=1)
        run_id = found["run"]["info"]["run_id"]
        for key, value in metrics.items():
            sent = "NaN" if math.isnan(value) else value
            self._call("POST", "/runs/log-metric", run_id=run_id, key=key, value=sent, timestamp=1)
        return run_id

    def upload(self, folder: Path) -> tuple[str, str]:
        """The files of a folder as a run's artifacts, through the proxy; returns run id and URI."""
        run_id, uri = self._place()
        root = uri.removeprefix("mlflow-artifacts:/")
        for path in folder.rglob("*"):
            if path.is_file():
                place = f"/api/2.0/mlflow-artifacts/artifacts/{root}/{path.relative_to(folder)}"
                self._client.put(place, content=path.read_bytes()).raise_for_status()
        return run_id, uri

    def model(self, versions: int = 0, name: str | None = None) -> str:
        """A registered model of its own with this many versions; returns its name."""
        name = name or f"served {os.getpid()}-{next(_NUMBERS)}"  # workers share the server
        self._call("POST", "/registered-models/create", name=name)
        run_id, uri = self._place()
        for _ in range(versions):
            self.version(name, uri, run_id)
        return name

    def _place(self) -> tuple[str, str]:
        run_id = self.run(auc=0.9)
        run = self._client.get(f"{_API}/runs/get", params={"run_id": run_id}).json()["run"]
        return run_id, run["info"]["artifact_uri"]

    def version(self, name: str, source: str, run_id: str, **tags: str) -> str:
        """One more version with these files; returns its number."""
        listed = [{"key": k, "value": v} for k, v in (tags or {"kind": "test"}).items()]
        made = self._call(
            "POST", "/model-versions/create", name=name, source=source, run_id=run_id, tags=listed
        )
        return made["model_version"]["version"]

    def stage(self, name: str, number: int, stage: str) -> None:
        self._call(
            "POST", "/model-versions/transition-stage", name=name, version=str(number),
            stage=stage, archive_existing_versions=False,
        )  # fmt: skip

    def alias(self, name: str, number: int, alias: str = "champion") -> None:
        self._call("POST", "/registered-models/alias", name=name, alias=alias, version=str(number))

    def delete_alias(self, name: str) -> None:
        self._call("DELETE", "/registered-models/alias", name=name, alias="champion")

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        self._call(
            "POST", "/model-versions/set-tag", name=name, version=str(number), key=key, value=value
        )

    def delete(self, name: str, number: int) -> None:
        self._call("DELETE", "/model-versions/delete", name=name, version=str(number))

    def delete_model(self, name: str) -> None:
        self._call("DELETE", "/registered-models/delete", name=name)


@pytest.fixture(scope="session")
def registered(mlflow_server: Server) -> Registered:
    return Registered(mlflow_server.url)
