"""The trainer's client for MLflow's registry: the versions of one registered model."""

import contextlib
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry import RegisteredModel as MlflowModel
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from exporters.errors import ExportError
from exporters.registered_name import check_registered_name
from trainer import tag_names
from trainer.errors import ModelNotFoundError, RefusedByMlflowError, RegistryError
from trainer.gates import GateChange, Gates, gate_changes, gate_tags, stored_gates
from trainer.mlflow_server import connect, mlflow_border
from trainer.options import suggested

__all__ = [
    "RegisteredModel",
    "Version",
    "check_model_name",
    "connect",
    "register",
    "version_not_found",
]


LOGGED_MODEL = "models:/m-"


def check_model_name(name: str) -> None:
    """Raise RegistryError for a name under which MLflow registers no model."""
    try:
        check_registered_name(name)
    except ExportError as error:
        raise RegistryError(f"{error}, with --model-name") from None


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
    model_description: str = "",
) -> str:
    """Register the files at `source` under the next number, and return it.

    `model_description` is that of a registered model that is new. `source` is what MLflow takes: `models:/m-…` of a logged model, or a URI inside the run. Where
    registering fails, neither a version nor a model that was made for it stays behind. Raises
    RegistryError.
    """
    # A request can fail after the server has done its part; the mark finds what it left behind.
    mark = uuid.uuid4().hex
    with mlflow_border(client, f"register a version of {model_name}"):
        created = _ensure_model(client, model_name, model_description)
        try:
            version = client.create_model_version(
                model_name,
                source,
                run_id,
                tags={**tags, tag_names.REGISTRATION: mark},
                description=description,
                await_creation_for=0,  # a server with a database is done when it answers
                # MLflow wants the id of a logged model beside its source.
                model_id=source.removeprefix("models:/")
                if source.startswith(LOGGED_MODEL)
                else None,
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
        aliases = self._model("read the aliases of").aliases
        return {alias: str(version) for alias, version in aliases.items() if version}

    def version(self, number: str) -> Version:
        """One version; raises RegistryError if there is no such version."""
        versions = self.versions()
        if number not in versions:
            raise version_not_found(self.model_name, number, versions)
        return versions[number]

    def metrics(self, version: Version) -> Mapping[str, float]:
        """The metrics of a version's run and of its logged model; those of what is deleted are missing.

        A run can log several models; then each has its own metrics, which count more than the run's.
        """
        found: dict[str, float] = {}
        if version.run_id:
            with contextlib.suppress(RefusedByMlflowError):
                found.update(self._run_metrics(version.run_id))
        if version.source.startswith(LOGGED_MODEL):
            with contextlib.suppress(RefusedByMlflowError):
                found.update(self._logged_model_metrics(version.source.removeprefix("models:/")))
        return found

    def gates(self) -> Gates:
        """The gates that are stored with the registered model. Raises GateError."""
        return stored_gates(self._model("read the gates of").tags)

    def gate_changes(self) -> list[GateChange]:
        """The recorded changes of the stored gates, the oldest first."""
        return gate_changes(self._model("read the gates of").tags)

    def record_gates(self, change: GateChange) -> None:
        """Record a change of the stored gates."""
        with mlflow_border(self.client, f"record the gates of {self.model_name}"):
            self.client.set_registered_model_tag(self.model_name, change.tag_key, change.tag_value)

    def set_gates(self, gates: Gates) -> None:
        """Replace the gates of the registered model; without gates, the defaults of the task count."""
        wanted = gate_tags(gates)
        tags = self._model("read the gates of").tags
        existing = [key for key in tags if key.startswith(tag_names.GATE)]
        with mlflow_border(self.client, f"store the gates of {self.model_name}"):
            for key, value in wanted.items():
                self.client.set_registered_model_tag(self.model_name, key, value)
            for key in existing:
                if key not in wanted:
                    self.client.delete_registered_model_tag(self.model_name, key)

    def set_stage(self, version: str, stage: str) -> int:
        """Move one version to a stage, and no other. Returns when, in milliseconds of MLflow's clock."""
        action = f"move version {version} to {stage}"
        with mlflow_border(self.client, action), warnings.catch_warnings():
            # MLflow prefers aliases, but says not when stages go. They are the default here because
            # demoting in MLflow's own page brings the previous version back.
            warnings.simplefilter("ignore", FutureWarning)
            moved = self.client.transition_model_version_stage(self.model_name, version, stage)
        return int(moved.last_updated_timestamp or 0)

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

    def _model(self, action: str) -> MlflowModel:
        with mlflow_border(self.client, f"{action} {self.model_name}"):
            try:
                return self.client.get_registered_model(self.model_name)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    raise ModelNotFoundError(self.model_name, self.client.tracking_uri) from error
                raise

    def _run_metrics(self, run_id: str) -> Mapping[str, float]:
        with mlflow_border(self.client, f"read run {run_id}"):
            return dict(self.client.get_run(run_id).data.metrics)

    def _logged_model_metrics(self, model_id: str) -> Mapping[str, float]:
        with mlflow_border(self.client, f"read logged model {model_id}"):
            metrics = self.client.get_logged_model(model_id).metrics or []
        in_time = sorted(metrics, key=lambda each: (each.step, each.timestamp))
        return {each.key: each.value for each in in_time}

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
        f"{suggested('leaderboard', model_name)} shows them"
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


def _ensure_model(client: MlflowClient, model_name: str, description: str) -> bool:
    """Create the registered model if it is missing; return whether it was missing."""
    try:
        client.create_registered_model(model_name, description=description or None)
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
        left = [n for n, each in versions.items() if each.tags.get(tag_names.REGISTRATION) == mark]
        for number in left:
            registry.delete(number)
        if remove_model and len(left) == len(versions):
            client.delete_registered_model(model_name)
