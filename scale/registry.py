"""A real MLflow server with one model, and the predictor's own code that asks it."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import publish
from demo.processes import Child
from predictor.model_version import ModelUri
from predictor.registry.client import TrackingServer, tracking_server
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings


@dataclass(frozen=True)
class FollowedModel:
    """The server, and the settings of whoever follows its model by stage."""

    server: Child
    settings: Settings

    @property
    def uri(self) -> ModelUri:
        """Which model it is."""
        return ModelUri.parse(self.settings.model_uri)

    def registry(self, client: TrackingServer) -> RegistryClient:
        """What a replica asks with."""
        return RegistryClient(client, self.uri)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[TrackingServer]:
        """What a replica's requests go through; it is closed on the way out."""
        server = tracking_server(self.settings)
        try:
            yield server
        finally:
            await server.close()

    def promote(self, version: int) -> None:
        """Move this version, and no other, to Production."""
        with warnings.catch_warnings():
            # Stages are the default here: docs/architecture.md says why.
            warnings.simplefilter("ignore", FutureWarning)
            MlflowClient(self.server.url).transition_model_version_stage(
                self.uri.name, str(version), "Production", archive_existing_versions=True
            )


def followed_model(server: Child, folder: Path) -> FollowedModel:
    """A registered model on the server: a small one, twice, the first version in Production."""
    published = publish(server.url, folder, "scale", [diagnosis(LOGISTIC)] * 2)
    settings = Settings.model_validate(
        {
            "MLFLOW_TRACKING_URI": server.url,
            "model_uri": f"models:/{published.name}/Production",
        }
    )
    model = FollowedModel(server, settings)
    model.promote(1)
    return model
