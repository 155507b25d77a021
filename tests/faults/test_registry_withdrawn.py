"""The registry says that none may serve, by whatever it has been made to say so."""

from collections.abc import Iterator

import httpx
import pytest

from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import World
from tests.predictor.graphs import GOOD
from tests.shared import Server


def withdrawn(world: World, why: str = "", first: str | None = None) -> None:
    """What a client, ops and the log are told once the registry says that none may serve.

    MLflow deletes a model in steps: a poll between them is told `first`, a later one `why`. The log has one of them.
    """
    world.service.until_serving(None)
    for answer in (world.service.http.get("/ready"), _prediction(world)):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert "the registry names no version that may serve" in answer.json()["detail"]
        assert not why or why not in answer.json()["detail"]  # that is for operators
    wait_until(lambda: why in world.model()["registry"]["names_none_because"], "the last reason")
    told = world.model()
    assert (told["desired"], told["registry"]["reachable"]) == (None, True)
    for metric in ("predictor_model_version", "predictor_desired_model_version"):
        assert world.metric(metric, model_name=world.name) == 0
    logged = world.logged("registry_names_none")[-1]["reason"]
    assert why in logged or (first is not None and first in logged)
    assert world.logged("stopped_serving")[-1]["reason"] == "withdrawn"


def back(world: World, number: str) -> None:
    world.serves(number)
    assert _prediction(world).json()["model_version"] == number


def _prediction(world: World) -> httpx.Response:
    return world.service.http.post("/predict", json=GOOD)


@pytest.fixture(scope="module")
def staged(make_world: Make, mlflow_server: Server) -> Iterator[World]:
    with make_world(mlflow_server) as world:
        yield world


@pytest.fixture(scope="module")
def aliased(make_world: Make, mlflow_server: Server) -> Iterator[World]:
    with make_world(mlflow_server, "@champion") as world:
        yield world


class TestStage:
    """MLflow itself says that no version of the model is in the stage."""

    def test_the_stage_is_emptied(self, staged: World) -> None:
        """503 with the reason, until a version is in it again."""
        number = staged.promote(staged.good())
        staged.serves(number)
        staged.registered.stage(staged.name, int(number), "Archived")
        withdrawn(staged, f"no version of {staged.name} is in Production")
        back(staged, staged.promote(number))
        staged.registered.stage(staged.name, int(number), "None")

    def test_the_model_is_renamed(self, staged: World) -> None:
        """A model of that name does not exist any more; renamed back, it serves again."""
        number = staged.promote(staged.good())
        staged.serves(number)
        staged.registered.rename(staged.name, f"{staged.name} b")
        withdrawn(staged, f"name={staged.name} not found")
        staged.registered.rename(f"{staged.name} b", staged.name)
        back(staged, number)

    def test_the_model_is_deleted(self, staged: World) -> None:
        """One of the same name that is made later is another model, with numbers from 1."""
        staged.serves(staged.promote(staged.good()))
        staged.registered.delete_model(staged.name)
        first = f"no version of {staged.name} is in Production"
        withdrawn(staged, f"name={staged.name} not found", first)
        staged.registered.model(name=staged.name)
        back(staged, staged.promote(staged.good()))


class TestAlias:
    """The same, for a project that uses aliases."""

    @pytest.fixture
    def number(self, aliased: World) -> str:
        number = aliased.good()
        aliased.registered.alias(aliased.name, int(number))
        aliased.serves(number)
        return number

    def test_the_alias_is_deleted(self, aliased: World, number: str) -> None:
        """503 with the reason, until it is set again."""
        aliased.registered.delete_alias(aliased.name)
        withdrawn(aliased, "alias champion not found")
        aliased.registered.alias(aliased.name, int(number))
        back(aliased, number)

    def test_the_alias_is_renamed(self, aliased: World, number: str) -> None:
        """An alias of another name authorises nothing here."""
        aliased.registered.delete_alias(aliased.name)
        aliased.registered.alias(aliased.name, int(number), "best")
        withdrawn(aliased, "alias champion not found")
        aliased.registered.alias(aliased.name, int(number))
        back(aliased, number)

    def test_the_version_is_deleted(self, aliased: World, number: str) -> None:
        """MLflow deletes its aliases with it."""
        aliased.registered.delete(aliased.name, int(number))
        withdrawn(aliased, "alias champion not found")

    def test_the_model_is_deleted(self, aliased: World, number: str) -> None:
        """MLflow says so with another error than for an alias, and it means the same."""
        aliased.registered.delete_model(aliased.name)
        withdrawn(aliased, f"name={aliased.name} not found", "alias champion not found")
        aliased.registered.model(name=aliased.name)
        aliased.registered.alias(aliased.name, int(aliased.good()))
        back(aliased, "1")
