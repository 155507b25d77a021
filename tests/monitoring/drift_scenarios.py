"""A hospital in fast motion: rows of patients, counted by the service's own code, as series for `promtool test rules`.

A day is an hour, so that five days fit into a test; thresholds and formulas are those that are shipped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exporters.export import export
from exporters.metadata import Settings
from predictor.drift.row_bins import RowBins
from predictor.model.servable import Servable
from tests.monitoring.parts import SHIPPED
from tests.predictor.parts import servable_of
from trainer.data import load

DAY = 60  # minutes
DAYS = 5
ROWS = 40  # of a minute: 2,400 of a day
FEATURES = ("mean_area", "mean_texture", "age", "lactate")
_REPLICAS = ("a:8000", "b:8000")
_SEED = 7
_FAST = {"[1d:5m]": "[1h:5m]", "[7d:1d] offset 1d": "[7h:1h] offset 1h"}

Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Hospital:
    """Its patients, and the model that was trained on some of them."""

    patients: pd.DataFrame
    servable: Servable

    @classmethod
    def opened(cls, folder: Path) -> "Hospital":
        """Area and texture are those of the real data; age and lactate are drawn."""
        random = np.random.default_rng(_SEED)
        dataset = load()
        frame = dataset.features[["mean_area", "mean_texture"]].copy()
        frame["age"] = np.clip(random.normal(56, 13, len(frame)), 18, 95).round()
        frame["lactate"] = random.lognormal(0.1, 0.5, len(frame)).round(2)
        target = np.asarray(dataset.target) == "malignant"
        training = random.permutation(len(frame))[:455]
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(frame.iloc[training], target[training])
        held_out = frame.drop(frame.index[training])
        settings = Settings(positive_class=True, further_rows=held_out)
        content = export(model, frame.iloc[training], settings).content
        return cls(frame, servable_of(folder, content))

    def rows(self, count: int, random: np.random.Generator) -> pd.DataFrame:
        """So many patients of a long row of patients like these: no two are equal."""
        picked = self.patients.iloc[random.integers(0, len(self.patients), count)]
        picked = picked.reset_index(drop=True)
        picked["mean_area"] *= np.exp(random.normal(0, 0.02, count))
        picked["age"] = np.clip(random.normal(56, 13, count), 18, 95).round()
        picked["lactate"] = random.lognormal(0.1, 0.5, count).round(2)
        return picked

    def counts(self, rows: pd.DataFrame) -> np.ndarray:
        """As a replica counts them, one feature after the other."""
        pack: Any = self.servable.signature.pack
        packed = [pack(*row) for row in rows.itertuples(index=False)]
        return RowBins(self.servable, 200).count(packed, [self.servable.answer(packed)])


@dataclass(frozen=True)
class Scenario:
    """What is different on the last day. `fires` are features with drift, by alert; the score may drift with them."""

    story: str
    fires: dict[str, set[str]]
    change: Change = lambda rows: rows
    rows_a_minute: Sequence[int] = (ROWS,) * DAY


def older(rows: pd.DataFrame) -> pd.DataFrame:
    """A new ward sends a third of the patients; they are 15 years older."""
    rows = rows.copy()
    rows.loc[::3, "age"] = np.clip(rows.loc[::3, "age"] + 15, 18, 99)
    return rows


def again_in_another_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Half of them, sent twice."""
    half = rows.iloc[: len(rows) // 2]
    return pd.concat([half, half.iloc[::-1]])


TRAINING, WEEK = "PredictorDriftFromTraining", "PredictorDriftInAWeek"
QUIET = [*(0,) * (DAY - 20), *(1,) * 20]
SCENARIOS = [
    Scenario(
        "a scanner reads the area 10 % high", {WEEK: {"mean_area"}},
        lambda rows: rows.assign(mean_area=rows["mean_area"] * 1.1),
    ),
    Scenario("a new ward has older patients", {WEEK: {"age"}, TRAINING: {"age"}}, older),
    Scenario(
        "a sensor sends zeros", {WEEK: {"lactate"}, TRAINING: {"lactate"}},
        lambda rows: rows.assign(lactate=rows["lactate"].where(rows.index % 4 != 0, 0.0)),
    ),
    Scenario("an ordinary day", {}),
    Scenario("twice the traffic", {}, rows_a_minute=(2 * ROWS,) * DAY),
    Scenario("a quiet day of twenty rows", {}, rows_a_minute=QUIET),
    Scenario("batches are sent twice, in another order", {}, again_in_another_order),
]  # fmt: skip


class Counters:
    """The counters of two replicas, minute by minute."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        self.labelled = RowBins(hospital.servable, 200).labelled
        zeros = np.zeros(sum(len(each.labels) for each in self.labelled), np.int64)
        self._so_far = {replica: [zeros] for replica in _REPLICAS}

    def minute(self, rows: pd.DataFrame) -> None:
        """Let one replica, in turn, count these rows."""
        if len(rows):
            counts = self.hospital.counts(rows)
            counted = self._so_far[_REPLICAS[self.minutes % 2]]
            counted[-1] = counted[-1] + counts
        for values in self._so_far.values():
            values.append(values[-1])

    @property
    def minutes(self) -> int:
        """How many there are so far."""
        return len(self._so_far[_REPLICAS[0]])

    def copy(self) -> "Counters":
        """The same so far."""
        copied = Counters(self.hospital)
        copied._so_far = {replica: [*values] for replica, values in self._so_far.items()}
        return copied

    def series(self) -> Iterator[dict[str, str]]:
        """As promtool takes them."""
        for replica, minutes in self._so_far.items():
            columns = iter(np.array(minutes[:-1]).T.tolist())
            where = f'job="predictor",instance="{replica}"'
            one = f'predictor_model_version{{{where},model_name="m"}}'
            yield {"series": one, "values": f"1x{self.minutes}"}
            for each in self.labelled:
                for place, label in enumerate(each.labels):
                    labels = f'{{{where},model_version="1",feature="{each.name}",bin="{label}"}}'
                    values = " ".join(map(str, next(columns)))
                    yield {"series": f"predictor_feature_rows_total{labels}", "values": values}
                    training = f"predictor_feature_training_rows{labels}"
                    count = (each.training or ())[place]
                    yield {"series": training, "values": f"{count}x{self.minutes}"}


def ordinary_days(hospital: Hospital) -> Counters:
    """All days but the last."""
    random = np.random.default_rng(_SEED + 1)
    counters = Counters(hospital)
    for _ in range(DAY * (DAYS - 1)):
        counters.minute(hospital.rows(ROWS, random))
    return counters


def with_last_day(before: Counters, scenario: Scenario) -> Counters:
    """The ordinary days, and then the scenario's."""
    random = np.random.default_rng(_SEED + 2)
    counters = before.copy()
    for count in scenario.rows_a_minute:
        counters.minute(scenario.change(before.hospital.rows(count, random)))
    return counters


def fast_rules(folder: Path, without: str = ":none:") -> list[str]:
    """The shipped rules about drift, in which a day is an hour; those that record a name with `without` are left out."""
    files = []
    for name in ("recording.yml", "alerts.yml"):
        groups = yaml.safe_load((SHIPPED / name).read_text())["groups"]
        for group in groups:
            group["rules"] = [
                rule
                for rule in group["rules"]
                if "feature" in rule["expr"] and without not in rule.get("record", "")
            ]
            for rule in group["rules"]:
                for days, hours in _FAST.items():
                    rule["expr"] = rule["expr"].replace(days, hours)
        path = folder / name
        path.write_text(yaml.safe_dump({"groups": [each for each in groups if each["rules"]]}))
        files.append(str(path))
    return files


def promtool_test(counters: Counters, scenario: Scenario, rules: Sequence[str]) -> dict[str, Any]:
    """Exactly these alerts fire at the end of the last day, and none at the end of the day before."""
    firing = 'count by (alertname, feature) (ALERTS{alertstate="firing", feature!="(score)"})'
    expected = [
        {"labels": f'{{alertname="{alert}", feature="{feature}"}}', "value": 1}
        for alert, features in sorted(scenario.fires.items())
        for feature in sorted(features)
    ]
    never = 'count(ALERTS{alertstate="firing"})'
    quiet = [DAY * day - 1 for day in range(1, DAYS)]
    checks = [{"expr": never, "eval_time": f"{at}m", "exp_samples": []} for at in quiet]
    last = DAY * DAYS - 1
    checks.append({"expr": firing, "eval_time": f"{last}m", "exp_samples": expected})
    if not scenario.fires:
        checks.append({"expr": never, "eval_time": f"{last}m", "exp_samples": []})
        checks.append({"expr": never, "eval_time": f"{last - 30}m", "exp_samples": []})
    return {
        "rule_files": [*rules],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": scenario.story, "interval": "1m",
                "input_series": [*counters.series()], "promql_expr_test": checks,
            }
        ],
    }  # fmt: skip
