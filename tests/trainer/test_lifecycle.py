"""What is recorded, what is refused, and that a transition which fails half way leaves no trace."""

from datetime import UTC, datetime

import pytest
from mlflow.exceptions import MlflowException

from trainer.errors import ModelNotFoundError, RegistryError, TransitionError
from trainer.gates import parse_gates
from trainer.history import Place, recorded
from trainer.promotion import Policy
from trainer.registry import register
from trainer.tag_names import STAGE_CHANGED

POINTERS = pytest.mark.parametrize("alias", [None, "production"], ids=["stage", "alias"])


def records(shelf, version):
    return recorded(version, shelf.registry.version(version).tags)


def champion(shelf, alias):
    return shelf.named(alias) if alias else shelf.latest()


class BreaksOn:
    """MLflow's client, but some of its methods fail: before they did their part, or after."""

    def __init__(self, client, *methods, after=False):
        self._client = client
        self._methods = methods
        self._after = after

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return self._breaking(method) if name in self._methods else method

    def _breaking(self, method):
        def broken(*args, **kwargs):
            if self._after:
                method(*args, **kwargs)
            raise MlflowException("API request to /x failed with exception timed out")

        return broken


def breaking(shelf, *methods, after=False):
    return type(shelf)(BreaksOn(shelf.client, *methods, after=after), shelf.name, shelf.new_run)


@POINTERS
def test_every_transition_is_recorded(shelf, alias):
    for _ in range(2):
        shelf.add()
    started = datetime.now(UTC)
    lifecycle = shelf.lifecycle(alias, who="ann@ward")
    lifecycle.stage("2", "looks better")
    lifecycle.promote("1", Policy())
    lifecycle.promote("2", Policy(), "is better")
    lifecycle.roll_back("is not")

    staged, promoted, rolled_back = records(shelf, "2")
    out = Place.NONE if alias else Place.ARCHIVED
    assert (staged.origin, staged.target, staged.why) == (
        Place.NONE,
        Place.STAGING,
        "looks better",
    )
    assert (promoted.origin, promoted.target, promoted.why) == (
        Place.STAGING,
        Place.PRODUCTION,
        "is better",
    )
    assert promoted.replaced == "1"
    assert (rolled_back.origin, rolled_back.target, rolled_back.why) == (
        Place.PRODUCTION,
        out,
        "is not",
    )
    assert {each.who for each in records(shelf, "2")} == {"ann@ward"}
    assert started <= staged.when < promoted.when < rolled_back.when <= datetime.now(UTC)


@POINTERS
def test_a_refused_promotion_changes_nothing_and_gives_every_reason(shelf, alias):
    good, bad = shelf.add(), shelf.add({"test_roc_auc": 0.5}, {"parity": "failed"})
    shelf.lifecycle(alias).promote(good, Policy())
    before = shelf.everything()
    with pytest.raises(TransitionError) as refused:
        shelf.lifecycle(alias).promote(bad, Policy())
    assert str(refused.value).count("\n  - ") == 4
    assert shelf.everything() == before


def test_force_needs_a_reason_and_records_what_it_overrode(shelf):
    bad = shelf.add(tags={"dataset_digest": "d1"})
    with pytest.raises(TransitionError, match="--reason"):
        shelf.lifecycle().promote(bad, Policy(), "  ", force=True)
    assert shelf.latest() is None

    shelf.lifecycle().promote(bad, Policy(), "an emergency", force=True)
    assert shelf.latest() == bad
    assert records(shelf, bad)[-1].why == (
        "an emergency (forced although version 1 has no parity report, so its ONNX is unproven)"
    )


@POINTERS
def test_a_version_in_production_is_not_promoted_to_staging(shelf, alias):
    version = shelf.add()
    shelf.lifecycle(alias).promote(version, Policy())
    with pytest.raises(TransitionError, match="demote 1 --to Staging"):
        shelf.lifecycle(alias).stage(version)
    assert champion(shelf, alias) == version


@POINTERS
def test_demoting_to_staging(shelf, alias):
    old, new = shelf.add(), shelf.add()
    for version in (old, new):
        shelf.lifecycle(alias).promote(version, Policy())
    outcome = shelf.lifecycle(alias).demote(new, Place.STAGING)
    assert champion(shelf, alias) == old
    assert outcome.state.staging == (new,)
    assert shelf.lifecycle(alias).demote(new).state.staging == ()
    with pytest.raises(TransitionError, match="neither in Production nor in Staging"):
        shelf.lifecycle(alias).demote(new, Place.STAGING)


@POINTERS
def test_a_repeated_transition_changes_nothing(shelf, alias):
    one, two = shelf.add(), shelf.add()
    lifecycle = shelf.lifecycle(alias)
    lifecycle.promote(one, Policy())
    lifecycle.stage(two)
    before = shelf.everything()
    for outcome in (
        lifecycle.promote(one, Policy()),
        lifecycle.stage(two),
        lifecycle.demote(two, Place.STAGING),
    ):
        assert not outcome.changed
    assert shelf.everything() == before


@pytest.mark.whole
@POINTERS
@pytest.mark.parametrize("after", [False, True], ids=["before it is written", "after"])
def test_where_the_record_fails_the_promotion_is_undone(shelf, alias, after):
    """Only the mark of a stage stays, which no longer fits: MLflow changed the stage twice."""
    for _ in range(2):
        shelf.add()
    shelf.lifecycle(alias).promote("1", Policy())
    shelf.lifecycle(alias).stage("2")
    before = without_marks(shelf.everything())
    broken = breaking(shelf, "set_model_version_tag", after=after)
    with pytest.raises(RegistryError, match=r"^the MLflow server at .* gives no answer"):
        broken.lifecycle(alias).promote("2", Policy())
    assert without_marks(shelf.everything()) == before
    with pytest.raises(RegistryError, match=r"^the MLflow server at .* gives no answer"):
        broken.lifecycle(alias).demote("1")
    assert without_marks(shelf.everything()) == before


def without_marks(everything):
    for *_, tags in everything[1].values():
        tags.pop(STAGE_CHANGED, None)
    return everything


@POINTERS
def test_where_the_answer_to_a_move_is_lost_the_move_is_undone(shelf, alias):
    for _ in range(2):
        shelf.add()
    shelf.lifecycle(alias).promote("1", Policy())
    before = shelf.everything()
    method = "set_registered_model_alias" if alias else "transition_model_version_stage"
    lossy = breaking(shelf, method, after=True)
    # The undo goes the same way and its answer is lost too, so a person has to look.
    with pytest.raises(RegistryError, match="nor take back what was done so far"):
        lossy.lifecycle(alias).promote("2", Policy())
    assert shelf.everything() == before


@pytest.mark.whole
def test_where_promoting_a_copy_fails_the_copy_is_deleted(shelf):
    for _ in range(2):
        shelf.add()
    shelf.lifecycle().promote("2", Policy())
    before = shelf.everything()
    for method in ("transition_model_version_stage", "set_model_version_tag"):
        for after in (False, True):
            broken = breaking(shelf, method, after=after)
            with pytest.raises(RegistryError, match=r"^the MLflow server at .* gives no answer"):
                broken.lifecycle().promote("1", Policy())
            assert shelf.everything() == before
    assert shelf.latest() == "2"


@pytest.mark.parametrize("method", ["transition_model_version_stage", "set_model_version_tag"])
def test_a_promotion_that_fails_leaves_the_gates_as_they_were(shelf, method):
    shelf.add(), shelf.add()
    shelf.lifecycle().promote("1", Policy(parse_gates(["test_accuracy:0.5"])))
    before = shelf.everything(), shelf.gates()
    with pytest.raises(RegistryError):
        breaking(shelf, method).lifecycle().promote(
            "2", Policy(parse_gates(["test_f1:9:lower"])), "x", force=True
        )
    assert (shelf.everything(), shelf.gates()) == before


def test_the_metrics_of_a_logged_model_count_more_than_those_of_its_run(shelf):
    """A run can log several models; the last one's metrics are the run's."""
    run_id, _ = shelf.new_run({"test_roc_auc": 0.5, "test_f1": 0.7})
    experiment = shelf.client.get_run(run_id).info.experiment_id
    logged = shelf.client.create_logged_model(experiment, source_run_id=run_id)
    shelf.client.log_metric(run_id, "test_roc_auc", 0.9, model_id=logged.model_id)
    version = register(
        shelf.client, model_name=shelf.name, run_id=run_id, description="", tags={},
        source=f"models:/{logged.model_id}",
    )  # fmt: skip
    shelf.client.log_metric(run_id, "test_roc_auc", 0.5)
    found = shelf.registry.metrics(shelf.registry.version(version))
    assert found == {"test_roc_auc": 0.9, "test_f1": 0.7}


def test_a_version_or_a_model_that_does_not_exist(shelf):
    with pytest.raises(ModelNotFoundError, match="no version of a model named"):
        shelf.lifecycle().roll_back()
    shelf.add()
    for act in (
        lambda: shelf.lifecycle().promote("9", Policy()),
        lambda: shelf.lifecycle().stage("one"),
        lambda: shelf.lifecycle().demote("0"),
    ):
        with pytest.raises(RegistryError, match="only 1"):
            act()


def test_an_alias_knows_no_archive_and_cannot_mean_two_things(shelf):
    version = shelf.add()
    shelf.lifecycle("production").promote(version, Policy())
    with pytest.raises(TransitionError, match="is a stage"):
        shelf.lifecycle("production").demote(version, Place.ARCHIVED)
    assert shelf.named("production") == version
    with pytest.raises(TransitionError, match="means Staging"):
        shelf.lifecycle("staging")


def test_an_alias_that_mlflow_reserves_is_refused(shelf):
    version = shelf.add()
    before = shelf.everything()
    with pytest.raises(RegistryError, match="reserved"):
        shelf.lifecycle("latest").promote(version, Policy())
    assert shelf.everything() == before
