"""Versions as the trainer exports them, from real rows; and one that means harm."""

from dataclasses import dataclass
from functools import cache

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exporters.export import export
from exporters.metadata import Settings
from tests.predictor.graphs import classifier
from trainer.data import NEGATIVE, POSITIVE, load, split
from trainer.measurements import DESCRIPTIONS, PAGE
from trainer.operating_point import choose

SCRIPT = "<script>alert('name')</script>"
IMAGE = "<img src=x onerror=alert('label')>"


@dataclass(frozen=True)
class Models:
    """Versions that differ, the last in the order of its features, and the rows that were held out: float64 [N, 30], named columns."""

    logistic: bytes
    forest: bytes
    reversed: bytes
    rows: pd.DataFrame
    diagnosis: list[str]

    def record(self, diagnosis: str = POSITIVE, number: int = 0) -> dict[str, float]:
        """One of the rows that are of this diagnosis, by its place among them."""
        place = [row for row, found in enumerate(self.diagnosis) if found == diagnosis][number]
        return dict(self.rows.iloc[place])

    def csv(self, rows: int) -> str:
        """The first rows as a file, with an identifier for each."""
        first = self.rows.head(rows)
        first.insert(0, "patient", [f"P-{number:03}" for number in range(1, rows + 1)])
        return str(first.to_csv(index=False))

    @property
    def benign(self) -> dict[str, float]:
        return self.record(NEGATIVE)


@cache
def breast_cancer() -> Models:
    """Fitted and exported once for all tests."""
    rows = split(load())
    train, test = rows.train, rows.test
    candidates = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        make_pipeline(RandomForestClassifier(n_estimators=20, random_state=0)),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)),
    )
    names = list(train.features)
    exported = []
    for candidate, order in zip(candidates, (names, names, names[::-1]), strict=True):
        features = train.features[order]
        point = choose(candidate, features, train.target, POSITIVE)
        fitted = candidate.fit(features, train.target)
        chance = fitted.predict_proba(test.features[order])[
            :, list(fitted.classes_).index(POSITIVE)
        ]
        settings = Settings(
            train.target, POSITIVE, descriptions=DESCRIPTIONS, page=PAGE,
            operating_point=point.measured(chance, test.target).as_metadata(),
        )  # fmt: skip
        exported.append(export(fitted, features, settings).content)
    return Models(*exported, test.features, list(test.target))


def hostile() -> bytes:
    """A classifier whose feature and class would run in a page that read them as HTML."""
    return classifier(
        labels=(IMAGE, "benign"),
        metadata={"feature_names": [SCRIPT, "b"], "class_labels": [IMAGE, "benign"]},
    )
