"""Fitted models and tables."""

import functools

import numpy as np
import pandas as pd
import pytest

from trainer.candidates import CATALOGUE
from trainer.data import load, split


@pytest.fixture(scope="session")
def rows():
    """The real rows of the example, split."""
    return split(load())


@pytest.fixture(scope="session")
def fitted(rows):
    """A function from a candidate's name to its pipeline, fitted with its default parameters."""

    @functools.cache
    def fit(name):
        pipeline = CATALOGUE[name].build(0)
        return pipeline.fit(rows.train.features, rows.train.target)

    return fit


@pytest.fixture(scope="session")
def mixed():
    """300 rows of numbers, whole numbers, booleans, categories and free text, some missing; and a target."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "größe (cm²)": random.normal(50, 12, 300),
            "beds": random.integers(0, 9, 300),
            "insured": random.random(300) > 0.5,
            "1st ward": random.choice(["north", "süd", "west"], 300).astype(object),
            "note": random.choice(["fever and cough", "broken arm", "arm hurts"], 300).astype(
                object
            ),
        }
    )
    target = (frame["beds"] > 4) | (frame["1st ward"] == "süd")
    frame.loc[::9, "größe (cm²)"] = np.nan
    frame.loc[::7, "1st ward"] = np.nan
    return frame, target.to_numpy()
