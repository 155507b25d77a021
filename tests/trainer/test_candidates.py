"""The catalogue of candidates and the points that a search tries."""

import pytest

from trainer.candidates import CATALOGUE, choose
from trainer.errors import TrainerError
from trainer.train_command import train


def test_the_catalogue_has_five_kinds():
    assert list(CATALOGUE) == [
        "logistic_regression",
        "random_forest",
        "hist_gradient_boosting",
        "support_vector_machine",
        "multilayer_perceptron",
    ]


def test_no_names_choose_everything_and_a_repeated_name_is_chosen_once():
    assert choose() == choose([]) == tuple(CATALOGUE.values())
    chosen = choose(["random_forest", "logistic_regression", "random_forest"])
    assert [each.name for each in chosen] == ["random_forest", "logistic_regression"]


def test_an_unknown_name_is_refused_before_anything_is_trained():
    with pytest.raises(TrainerError, match="'forest'; choose from logistic_regression"):
        train(candidates="logistic_regression, forest")


@pytest.mark.parametrize("candidate", CATALOGUE.values(), ids=lambda each: each.name)
def test_the_seed_decides_the_points_and_every_point_fits_the_pipeline(candidate):
    points = candidate.sample(5, 3)
    assert len(points) == 5
    assert points == candidate.sample(5, 3)
    assert points != candidate.sample(5, 4)
    for point in points:
        candidate.build(3).set_params(**point)
        plain = {int, float, str, tuple, type(None)}
        assert {type(value) for value in point.values()} <= plain
