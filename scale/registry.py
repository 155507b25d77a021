"""A real MLflow server with one model, and the predictor's client for it."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import publish
from predictor.model_version import ModelUri
from predictor.registry.client import TrackingServer, tracking_server
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings


@dataclass(frozen=True)
class FollowedModel:
    """A model on a server, and the settings of a predictor that follows it by stage."""

    url: str
    server_pid: int
    settings: Settings

    @property
    def uri(self) -> ModelUri:
        """The followed model."""
        return ModelUri.parse(self.settings.model_uri)

    def registry(self, client: TrackingServer) -> RegistryClient:
        """A replica's registry client."""
        return RegistryClient(client, self.uri)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[TrackingServer]:
        """A replica's HTTP client; it is closed at the end."""
        server = tracking_server(self.settings)
        try:
            yield server
        finally:
            await server.close()

    def promote(self, version: int) -> None:
        """Move this version, and no other, to Production."""
        with warnings.catch_warnings():
            # Stages are the default: see docs/architecture.md.
            warnings.simplefilter("ignore", FutureWarning)
            MlflowClient(self.url).transition_model_version_stage(
                self.uri.name, str(version), "Production", archive_existing_versions=True
            )


def followed_model(url: str, server_pid: int, folder: Path) -> FollowedModel:
    """Register two versions of a small model, and move the first to Production."""
    published = publish(url, folder, "scale", [diagnosis(LOGISTIC)] * 2)
    settings = Settings.model_validate(
        {
            "MLFLOW_TRACKING_URI": url,
            "model_uri": f"models:/{published.name}/Production",
        }
    )
    model = FollowedModel(url, server_pid, settings)
    model.promote(1)
    return model
