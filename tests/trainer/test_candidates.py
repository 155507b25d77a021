"""The catalogue of candidates and the points that a search tries."""

import numpy as np
import pandas as pd
import pytest

from trainer.candidates import CATALOGUE, catalogue, choose
from trainer.errors import TrainerError
from trainer.table import Column
from trainer.train_command import train

CATALOGUES = [*CATALOGUE.values(), *catalogue("regression", spread=50.0).values()]


def test_the_catalogue_has_six_kinds_where_lightgbm_is_installed():
    assert list(CATALOGUE) == [
        "logistic_regression",
        "random_forest",
        "hist_gradient_boosting",
        "support_vector_machine",
        "multilayer_perceptron",
        "lightgbm",
    ]


def test_no_names_choose_everything_and_a_repeated_name_is_chosen_once():
    assert [each.name for each in choose()] == [each.name for each in choose([])] == [*CATALOGUE]
    chosen = choose(["random_forest", "logistic_regression", "random_forest"])
    assert [each.name for each in chosen] == ["random_forest", "logistic_regression"]


def test_an_unknown_name_is_refused_before_anything_is_trained():
    with pytest.raises(
        TrainerError, match=r"'forest' for this task .binary.; choose from logistic_regression"
    ):
        train(candidates="logistic_regression, forest")


def test_a_regression_has_a_catalogue_of_its_own():
    assert [each.name for each in choose(None, "regression")] == [
        "ridge",
        "random_forest",
        "hist_gradient_boosting",
        "support_vector_machine",
        "multilayer_perceptron",
        "lightgbm",
    ]
    with pytest.raises(TrainerError, match="'logistic_regression' for this task"):
        choose(["logistic_regression"], "regression")
    machine = choose(["support_vector_machine"], "regression", spread=1000.0)[0]
    assert all(30 <= point["regress__C"] <= 3_000 for point in machine.sample(5, 0))


@pytest.mark.parametrize("candidate", CATALOGUES, ids=lambda each: f"{each.name}-{each.step}")
def test_the_seed_decides_the_points_and_every_point_fits_the_pipeline(candidate):
    points = candidate.sample(5, 3)
    assert len(points) == 5
    assert points == candidate.sample(5, 3)
    assert points != candidate.sample(5, 4)
    for point in points:
        candidate.build(3).set_params(**point)
        plain = {int, float, str, tuple, type(None)}
        assert {type(value) for value in point.values()} <= plain


NUMBER = Column("a", "number", 0, 9, "number")
GAPS = Column("b", "number", 3, 9, "number")
FLAG = Column("c", "boolean", 0, 2, "number")
COLOUR = Column("d", "text", 1, 2, "category", "", ("blue", "red", np.nan))
WORDS = Column("e", "text", 0, 90, "words")
UNUSED = Column("f", "text", 0, 90, "dropped")


@pytest.mark.parametrize(
    ("columns", "steps"),
    [
        ([], ["scale", "classify"]),
        ([NUMBER, FLAG, UNUSED], ["scale", "classify"]),
        ([NUMBER, GAPS], ["impute", "scale", "classify"]),
        ([NUMBER, COLOUR], ["prepare", "classify"]),
    ],
)
def test_a_pipeline_has_the_steps_that_its_columns_need(columns, steps):
    pipeline = CATALOGUE["logistic_regression"].build(0, columns)
    assert [name for name, _ in pipeline.steps] == steps


@pytest.mark.parametrize("candidate", CATALOGUES, ids=lambda each: f"{each.name}-{each.step}")
def test_every_candidate_takes_mixed_columns(candidate):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(size=80),
            "b": random.choice([1.5, 2.5, np.nan], 80),
            "c": random.random(80) > 0.5,
            "d": np.array([*["blue", "red", np.nan, "red"] * 20], dtype=object),
            "e": np.array([f"word {row} of it" for row in range(80)], dtype=object),
        }
    )
    target = frame["a"] + frame["c"] if candidate.step == "regress" else frame["a"] > 0
    pipeline = candidate.build(0, [NUMBER, GAPS, FLAG, COLOUR, WORDS, UNUSED])
    pipeline.fit(frame, target.to_numpy())
    unseen = frame.head(2).assign(d=np.array(["green", np.nan], dtype=object), e="", b=np.nan)
    assert len(pipeline.predict(unseen)) == 2
