"""The rows of a parity check."""

import numpy as np
import pandas as pd

from exporters.rows import generated_rows, parity_rows
from exporters.table import read_table


def test_generated_rows_fit_float32_and_go_beyond_the_training_ranges(rows):
    table = read_table(rows.train.features)
    training = table.frame.to_numpy()
    made = generated_rows(table, np.random.default_rng(3), count=1000).to_numpy()
    assert made.shape == (1000, 30)
    assert (made == made.astype(np.float32)).all()
    low, high = training.min(axis=0), training.max(axis=0)
    assert ((made >= low) & (made <= high)).all(axis=1).sum() > 300
    assert (made < low).any(axis=0).all()
    assert (made > high).any(axis=0).all()
    again = generated_rows(table, np.random.default_rng(3), count=1000)
    np.testing.assert_array_equal(made, again)


def test_every_kind_of_column_is_generated_with_its_type(mixed):
    frame, _ = mixed
    table = read_table(frame)
    made = generated_rows(table, np.random.default_rng(0))
    assert made.dtypes.astype(str).tolist() == table.frame.dtypes.astype(str).tolist()
    assert set(made["1st ward"].dropna()) == {"north", "süd", "west"}
    assert set(made["insured"]) == {True, False}


def test_missing_and_unseen_values_have_rows_of_their_own(mixed):
    frame, _ = mixed
    kinds = parity_rows(read_table(frame))
    assert list(kinds) == ["given", "generated", "zero", "unseen category", "missing value"]
    missing = kinds["missing value"][["größe (cm²)", "1st ward"]].isna()
    assert missing.any(axis=0).all()
    assert missing.all(axis=1).any()
    unseen = kinds["unseen category"]
    assert {"", "É"} <= set(unseen["note"])


def test_a_table_of_numbers_without_gaps_has_neither():
    kinds = parity_rows(read_table(pd.DataFrame({"a": [1.0, 2.0]})))
    assert list(kinds) == ["given", "generated", "zero"]
