"""Registering a version: it is there with all that was said about it, or not at all."""

import pytest
from mlflow.exceptions import MlflowException

from trainer.errors import ModelNotFoundError, RefusedByMlflowError, RegistryError
from trainer.registry import RegisteredModel, register


def test_a_version_carries_its_description_and_tags(shelf):
    assert [shelf.add(tags={"seed": "1"}), shelf.add()] == ["1", "2"]
    version = shelf.registry.version("1")
    assert version.description == "A version for a test."
    assert version.tags["seed"] == "1"


def test_a_logged_model_is_registered_under_its_id(shelf):
    run_id, _ = shelf.new_run({"test_roc_auc": 0.9})
    experiment = shelf.client.get_run(run_id).info.experiment_id
    logged = shelf.client.create_logged_model(experiment, source_run_id=run_id)
    version = register(
        shelf.client,
        model_name=shelf.name,
        run_id=run_id,
        source=f"models:/{logged.model_id}",
        description="",
        tags={},
    )
    found = shelf.client.get_model_version(shelf.name, version)
    assert found.source == f"models:/{logged.model_id}"
    assert found.run_id == run_id


def test_a_new_model_gets_a_description_that_a_person_may_change(shelf):
    source = shelf.new_run({})[1] + "/model"

    def described(text):
        register_at(shelf, shelf.client, source, model_description=text)
        return shelf.client.get_registered_model(shelf.name).description

    assert described("Predicts churn.") == "Predicts churn."
    shelf.client.update_registered_model(shelf.name, "Ours.")
    assert described("Predicts churn.") == "Ours."


def test_a_source_that_mlflow_refuses_leaves_no_model_behind(shelf):
    with pytest.raises(RefusedByMlflowError, match="register a version of"):
        register_at(shelf, shelf.client, "runs:/another-run/model")
    with pytest.raises(ModelNotFoundError):
        shelf.registry.versions()
    with pytest.raises(MlflowException, match="not found"):
        shelf.client.get_registered_model(shelf.name)


def test_a_source_that_mlflow_stumbles_over_leaves_the_other_versions_alone(shelf):
    shelf.add()
    before = shelf.everything()
    with pytest.raises(RegistryError, match="error 500"):
        register_at(shelf, shelf.client, "models:/m-doesnotexist")
    assert shelf.everything() == before


@pytest.mark.parametrize("versions_before", [0, 1])
def test_a_version_whose_answer_was_lost_is_deleted(shelf, versions_before):
    for _ in range(versions_before):
        shelf.add()
    source = shelf.new_run({})[1] + "/model"
    with pytest.raises(RegistryError, match="timed out"):
        register_at(shelf, LosesTheAnswer(shelf.client), source)
    if versions_before:
        assert list(RegisteredModel(shelf.client, shelf.name).versions()) == ["1"]
    else:
        with pytest.raises(MlflowException, match="not found"):
            shelf.client.get_registered_model(shelf.name)


def register_at(shelf, client, source, **options):
    return register(
        client,
        model_name=shelf.name,
        run_id=shelf.new_run({})[0],
        source=source,
        description="",
        tags={},
        **options,
    )


class LosesTheAnswer:
    """MLflow's client, on a network that breaks once the server has made the version."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def create_model_version(self, *args, **kwargs):
        self._client.create_model_version(*args, **kwargs)
        raise MlflowException("API request to /x failed with exception Read timed out.")
