"""The beginning and the end of a bake: what may be asked for, the aliases of the shadows, and the rollback."""

import os
import signal
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import typer

from tests.trainer.test_bake import NEW, OLD, FakeService
from trainer.baking import Baking, Trial
from trainer.errors import RegistryError, TrainerError
from trainer.pointer import RegistryState

PROMOTED = SimpleNamespace(version=NEW)


@dataclass
class FakeRegistry:
    """A registry, and its lifecycle. Its first rollback fails if `hotfix` is promoted while it is tried."""

    model_name: str = "m"
    champion: str = OLD
    named: dict = field(default_factory=lambda: {"challenger": NEW})
    hotfix: str | None = None

    def state(self):
        return RegistryState((self.champion,), {}, {}, "stage")

    def aliases(self):
        return dict(self.named)

    def set_alias(self, alias, version):
        self.named[alias] = version

    def roll_back(self, reason):
        if self.hotfix:
            self.champion, self.hotfix = self.hotfix, None
            raise RegistryError("the registry does not answer")
        self.champion = OLD
        return SimpleNamespace(state=self.state(), reason=reason)


@pytest.fixture
def service():
    found = FakeService()
    found.body["shadow"] = {"uri": "models:/m@challenger"}
    return found


@pytest.fixture
def registry():
    return FakeRegistry()


def begin(service, registry, seconds=600.0):
    """A bake of the version that is promoted after its beginning."""
    baking = Baking(Trial((service,), seconds=seconds), registry, registry, registry.state)
    registry.champion = NEW
    return baking


@pytest.mark.parametrize("given", [{"require_shadow": ""}, {"bake_time": ""}, {"bake_time": "0s"},
                                   {"limits": "flips=1"}, {"records": "folder"}])  # fmt: skip
def test_an_option_that_asks_for_nothing_is_an_error(given):
    """A variable that is not set must not open the gate, nor a limit be ignored."""
    with pytest.raises(TrainerError, match=r"--(require-shadow|bake)|rows=1000"):
        Trial.of(["http://a"], **given)


def test_sigterm_ends_a_bake_as_ctrl_c_does(service, registry):
    """The version keeps serving, and the alias of the shadow is not left on the former champion."""
    baking, during = begin(service, registry), []

    def ended():
        during.append(dict(registry.named))
        os.kill(os.getpid(), signal.SIGTERM)
        return service.counted

    service.serves()
    service.counts = ended
    with pytest.raises(typer.Exit) as end:
        baking.watch(PROMOTED)
    assert end.value.exit_code == 130
    assert during == [{"challenger": OLD}]
    assert (registry.champion, registry.named) == (NEW, {"challenger": None})


def test_a_rollback_that_is_tried_again_spares_a_hotfix(service, registry, capsys):
    """Somebody promoted another version while the registry did not answer."""
    baking = begin(service, registry, seconds=0.0)
    registry.hotfix = "9"
    with pytest.raises(typer.Exit):
        baking.watch(PROMOTED)
    assert registry.champion == "9"
    assert "version 8 is not the champion any more" in capsys.readouterr().err
