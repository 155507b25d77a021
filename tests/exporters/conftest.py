"""Every candidate, fitted once on the real training rows."""

import functools

import pytest

from trainer.candidates import CATALOGUE
from trainer.data import load, split


@pytest.fixture(scope="session")
def rows():
    """The real rows, split."""
    return split(load())


@pytest.fixture(scope="session")
def fitted(rows):
    """A function from a candidate's name to its pipeline, fitted with its default parameters."""

    @functools.cache
    def fit(name):
        pipeline = CATALOGUE[name].build(0)
        return pipeline.fit(rows.train.features, rows.train.diagnosis)

    return fit
