"""The trainer's client for MLflow's registry: the versions of one registered model."""

import contextlib
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from trainer.errors import ModelNotFoundError, RefusedByMlflowError, RegistryError
from trainer.mlflow_server import connect, mlflow_border

__all__ = ["RegisteredModel", "Version", "connect", "register", "version_not_found"]

REGISTRATION_TAG = "registration"


@dataclass(frozen=True)
class Version:
    """One registered version, without its stage."""

    number: str
    run_id: str
    source: str
    description: str
    tags: Mapping[str, str]
    updated_ms: int


def register(
    client: MlflowClient,
    *,
    model_name: str,
    run_id: str,
    source: str,
    description: str,
    tags: Mapping[str, str],
) -> str:
    """Register the files at `source` under the next number, and return it.

    `source` is what MLflow takes: `models:/m-…` of a logged model, or a URI inside the run. Where
    registering fails, neither a version nor a model that was made for it stays behind. Raises
    RegistryError.
    """
    # A request can fail after the server has done its part; the mark finds what it left behind.
    mark = uuid.uuid4().hex
    with mlflow_border(client, f"register a version of {model_name}"):
        created = _ensure_model(client, model_name)
        try:
            version = client.create_model_version(
                model_name,
                source,
                run_id,
                tags={**tags, REGISTRATION_TAG: mark},
                description=description,
                await_creation_for=0,  # a server with a database is done when it answers
                # MLflow wants the id of a logged model beside its source.
                model_id=source.removeprefix("models:/") if "models:/m-" in source else None,
            )
        except BaseException:
            _remove_leftovers(client, model_name, mark, remove_model=created)
            raise
    return str(version.version)


class RegisteredModel:
    """The versions of one registered model. Every method raises RegistryError."""

    def __init__(self, client: MlflowClient, model_name: str) -> None:
        self.client = client
        self.model_name = model_name

    def versions(self) -> dict[str, Version]:
        """All versions by number, the highest first; raises ModelNotFoundError if there is none."""
        return {str(each.version): _version(each) for each in self._search()}

    def staged(self) -> dict[str, tuple[Version, str]]:
        """All versions with their stages, like `versions`."""
        found = self._search()
        return {str(each.version): (_version(each), each.current_stage or "None") for each in found}

    def aliases(self) -> dict[str, str]:
        """The version that each alias names."""
        with mlflow_border(self.client, f"read the aliases of {self.model_name}"):
            model = self.client.get_registered_model(self.model_name)
            return {alias: str(version) for alias, version in model.aliases.items() if version}

    def version(self, number: str) -> Version:
        """One version; raises RegistryError if there is no such version."""
        versions = self.versions()
        if number not in versions:
            raise version_not_found(self.model_name, number, versions)
        return versions[number]

    def metrics(self, version: Version) -> Mapping[str, float]:
        """The metrics of a version's run; empty if the run is deleted."""
        if not version.run_id:
            return {}
        try:
            with mlflow_border(self.client, f"read run {version.run_id}"):
                return dict(self.client.get_run(version.run_id).data.metrics)
        except RefusedByMlflowError:
            return {}

    def set_stage(self, version: str, stage: str) -> None:
        """Move one version to a stage, and no other."""
        action = f"move version {version} to {stage}"
        with mlflow_border(self.client, action), warnings.catch_warnings():
            # MLflow prefers aliases, but says not when stages go. They are the default here because
            # demoting in MLflow's own page brings the previous version back.
            warnings.simplefilter("ignore", FutureWarning)
            self.client.transition_model_version_stage(self.model_name, version, stage)

    def set_alias(self, alias: str, version: str | None) -> None:
        """Set an alias to a version, or delete it."""
        with mlflow_border(self.client, f"point alias {alias} at version {version}"):
            if version is None:
                self.client.delete_registered_model_alias(self.model_name, alias)
            else:
                self.client.set_registered_model_alias(self.model_name, alias, version)

    def set_tag(self, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        with mlflow_border(self.client, f"tag version {version}"):
            self.client.set_model_version_tag(self.model_name, version, key, value)

    def delete_tag(self, version: str, key: str) -> None:
        """Delete a tag of a version, if it is there."""
        with mlflow_border(self.client, f"remove a tag of version {version}"):
            self.client.delete_model_version_tag(self.model_name, version, key)

    def delete(self, version: str) -> None:
        """Delete a version; its number is not reused, and its files stay with the run."""
        with mlflow_border(self.client, f"delete version {version}"):
            self.client.delete_model_version(self.model_name, version)

    def _search(self) -> list[ModelVersion]:
        quote = '"' if "'" in self.model_name else "'"
        name = f"name = {quote}{self.model_name}{quote}"
        found: list[ModelVersion] = []
        with mlflow_border(self.client, f"list the versions of {self.model_name}"):
            token: str | None = ""
            while token is not None:
                page = self.client.search_model_versions(name, page_token=token or None)
                found += page
                token = page.token or None
        if not found:
            raise ModelNotFoundError(self.model_name, self.client.tracking_uri)
        return sorted(found, key=lambda each: int(each.version), reverse=True)


def version_not_found(model_name: str, version: str, existing: Iterable[str]) -> RegistryError:
    """The error for a version that the registered model does not have."""
    return RegistryError(
        f"{model_name} has no version {version!r}, only {', '.join(existing)}; "
        "`python -m trainer leaderboard` shows them"
    )


def _version(found: ModelVersion) -> Version:
    return Version(
        number=str(found.version),
        run_id=found.run_id or "",
        source=found.source or "",
        description=found.description or "",
        tags=dict(found.tags),
        updated_ms=int(found.last_updated_timestamp or 0),
    )


def _ensure_model(client: MlflowClient, model_name: str) -> bool:
    """Create the registered model if it is missing; return whether it was missing."""
    try:
        client.create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def _remove_leftovers(
    client: MlflowClient, model_name: str, mark: str, *, remove_model: bool
) -> None:
    # What failed first is what gets reported: a server that is gone cannot be tidied anyway.
    with contextlib.suppress(RegistryError, MlflowException):
        registry = RegisteredModel(client, model_name)
        try:
            versions = registry.versions()
        except ModelNotFoundError:
            versions = {}
        left = [n for n, each in versions.items() if each.tags.get(REGISTRATION_TAG) == mark]
        for number in left:
            registry.delete(number)
        if remove_model and len(left) == len(versions):
            client.delete_registered_model(model_name)
