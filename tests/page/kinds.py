"""Versions of every kind that is no classifier of thirty measurements, and such as mean harm, with rows for them."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from exporters.export import export
from exporters.metadata import Settings
from exporters.training_data import Description

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A version, and records of its training: the first is asked, the others are a list."""

    content: bytes
    records: Sequence[Record]
    version: str

    @property
    def record(self) -> Record:
        return self.records[0]

    def csv(self) -> str:
        """The records as a file with an identifier for each; a missing value is an empty cell."""
        frame = pd.DataFrame(self.records)
        frame.insert(0, "sample", [f"S-{number:02}" for number in range(1, len(frame) + 1)])
        return str(frame.to_csv(index=False))


def exported(model: Any, rows: pd.DataFrame, y: Any = None, **settings: Any) -> Kind:
    """The fitted model, with six rows that are spread over the training data."""
    fitted = model.fit(rows) if y is None else model.fit(rows, y)
    labels = y if np.ndim(y) == 1 and len(set(y)) < 10 else None
    made = export(fitted, rows, Settings(labels, **settings))
    spread = rows.iloc[:: max(1, len(rows) // 6)].head(6).astype(object)
    number = str(1 + zlib.crc32(made.content) % 100_000)  # one of its own
    return Kind(made.content, spread.where(spread.notna(), None).to_dict("records"), number)


def three_classes() -> Kind:
    found = load_iris(as_frame=True)
    rows = found.data.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    described = {name: Description(unit="cm") for name in rows}
    return exported(
        LogisticRegression(max_iter=1000),
        rows,
        np.array(found.target_names)[found.target],
        descriptions=described,
        page={"values": "Lengths and widths", "caution": "An example. Ask a botanist."},
    )


def _houses() -> pd.DataFrame:
    """Text with categories, an integer, a boolean, and numbers of which some are missing."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "district": random.choice(["North", "South", "Old Town"], 120),
            "heating": random.choice(["gas", "district heat", None], 120),
            "rooms": random.integers(1, 8, 120),
            "garden": random.integers(0, 2, 120).astype(bool),
            "area": random.uniform(30, 200, 120).round(1),
        }
    )
    rows.loc[::7, "area"] = np.nan
    return rows


def mixed_columns() -> Kind:
    rows = _houses()
    numbers = ["rooms", "garden", "area"]
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["district", "heating"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    )
    dear = np.where(
        rows.rooms + rows.garden * 2 + (rows.district == "Old Town") > 5, "dear", "cheap"
    )
    return exported(make_pipeline(encoded, LogisticRegression()), rows, dear, positive_class="dear")


def several_targets() -> Kind:
    rows = load_diabetes(as_frame=True, scaled=False).data[["age", "bmi", "bp"]]
    targets = np.column_stack([rows.sum(axis=1), rows.age - rows.bp])
    return exported(LinearRegression(), rows, targets)


def outliers() -> Kind:
    rows = load_iris(as_frame=True).data.rename(columns=lambda name: name.split(" (")[0])
    return exported(IsolationForest(n_estimators=10, random_state=0), rows)


def no_probabilities() -> Kind:
    found = load_iris(as_frame=True)
    return exported(RidgeClassifier(), found.data, np.array(found.target_names)[found.target])


def a_number() -> Kind:
    found = load_diabetes(as_frame=True, scaled=False)
    return exported(LinearRegression(), found.data, found.target)


def one_feature() -> Kind:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"dose": random.uniform(0, 5, 100).round(2)})
    return exported(LogisticRegression(), rows, np.where(rows.dose > 2.2, "works", "does not"))


def many_features() -> Kind:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(80, 200)).round(3))
    rows.columns = [f"band_{number:03}" for number in range(200)]
    return exported(Ridge(), rows, rows.sum(axis=1))


def long_names() -> Kind:
    """Names of 120 characters without a space, and classes that are numbers."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(80, 3)).round(2))
    rows.columns = [
        (f"{end}_" + "measuredwithcare" * 8)[:120] for end in ("first", "second", "third")
    ]
    return exported(LogisticRegression(), rows, (rows.sum(axis=1) > 0).astype(int))


# Texts that mean something to HTML, to JavaScript's objects, to a form, to a spreadsheet, to a shell, or to the eye.
HOSTILE = (
    "<script>alert(1)</script>", "__proto__", "constructor", "toString", "setAttribute", "children",
    "\u202egnorw", "=cmd|' /C calc'!A0", "\N{GRINNING FACE}", "a\nb", "x" * 1_000, " ",
    "O'Brien \"x\" \\ $(id) `id` !!", "a,b;c\td",
)  # fmt: skip


def hostile_names() -> Kind:
    """Of features, their groups, units and meanings, of categories and of two classes."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(60, len(HOSTILE))).round(2), columns=[*HOSTILE])
    rows["category <b>"] = random.choice(HOSTILE[:9], 60)
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["category <b>"]), remainder="passthrough"
    )
    return exported(
        make_pipeline(encoded, LogisticRegression()),
        rows,
        np.array(["__proto__", HOSTILE[7]])[random.integers(0, 2, 60)],
        descriptions={name: Description(name[:200], name[:1000], name[:50]) for name in HOSTILE},
        page={"values": HOSTILE[0], "caution": f"{HOSTILE[0]} {HOSTILE[6]}"},
    )


def hostile_classes() -> Kind:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(140, 2)).round(2), columns=["a_b", "a-b"])
    return exported(LogisticRegression(), rows, np.array(HOSTILE)[np.arange(140) % len(HOSTILE)])


def digits() -> Kind:
    """Names and classes of digits, which the objects of JavaScript put into another order."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(80, 3)).round(2), columns=["income", "2019", "2018"])
    return exported(LogisticRegression(), rows, np.where(rows["2019"] > 0.2, 1, -1))


KINDS: dict[str, Callable[[], Kind]] = {
    each.__name__.replace("_", " "): cache(each)
    for each in (
        three_classes, mixed_columns, several_targets, outliers, no_probabilities, a_number,
        one_feature, many_features, long_names, hostile_names, hostile_classes, digits,
    )
}  # fmt: skip
