"""Outcomes: what turned out to be true, joined by id with the predictions of the record. DuckDB is an extra.

Of several outcomes of one id the latest `at` counts. An id that the record has more than once is ambiguous, and neither
its predictions nor its outcomes count, unless all its rows have the same values, version and answer: then a client asked
again, and they are one prediction.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import RecordsError
from trainer.records import NOT_TRIED_OUT, Choice, Records

NONE, OTHER = -1, -2
"""Numbers of classes: no outcome, and an outcome that is not a class of the version."""
PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
"""Periods of time in UTC, by DuckDB's formats; weeks are those of ISO 8601."""
_DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Counts:
    """What became of the reported outcomes of the whole record, and of ids that occur more than once.

    `reported` counts rows, `ids` different ids. `repeated` rows say what the one before said. The outcome of
    `contradictory` ids changed. No prediction has `unknown` ids. `ambiguous_ids` name different predictions, so many
    `ambiguous_predictions` together; `ambiguous_outcomes` of these ids have an outcome. `asked_again` rows repeat another
    prediction with its id.
    """

    reported: int = 0
    ids: int = 0
    repeated: int = 0
    contradictory: int = 0
    unknown: int = 0
    ambiguous_ids: int = 0
    ambiguous_predictions: int = 0
    ambiguous_outcomes: int = 0
    asked_again: int = 0


@dataclass(frozen=True)
class Version:
    """A model version of the record, and what its newest file says of it.

    Without `classes` its predictions are values. `positive` is a class, `threshold` that of the operating point.
    """

    model: str
    number: str
    run_id: str
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None


@dataclass(frozen=True)
class Joined:
    """The predictions of one version that count [N], with the outcomes.

    For a classifier, `predicted` and `actual` are numbers of `version.classes`; `actual` may be NONE or OTHER. For a
    regressor they are float64; NaN in `actual` for no outcome, infinite for one that is no number. `probabilities` are [N, C],
    None for a model without. `days` passed from the prediction to its outcome (NaN without one).
    `several_targets` are not evaluated: `actual` is NONE or OTHER, then.
    """

    version: Version
    period: NDArray[Any]
    predicted: NDArray[Any]
    actual: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    days: NDArray[np.float64]
    several_targets: bool = False

    @property
    def is_value(self) -> bool:
        """Whether predictions are values of a regressor."""
        return self.actual.dtype.kind == "f"

    @property
    def has_outcome(self) -> NDArray[np.bool_]:
        """Which predictions have an outcome of whatever kind [N]."""
        return ~np.isnan(self.actual) if self.is_value else np.asarray(self.actual != NONE)

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """Which predictions have an outcome that can be compared [N]."""
        return np.isfinite(self.actual) if self.is_value else np.asarray(self.actual >= 0)

    def only(self, rows: NDArray[np.bool_]) -> "Joined":
        """Some of the rows."""
        scores = None if self.probabilities is None else self.probabilities[rows]
        return replace(
            self, period=self.period[rows], predicted=self.predicted[rows], actual=self.actual[rows],
            probabilities=scores, days=self.days[rows],
        )  # fmt: skip


class Outcomes:
    """The outcomes and the predictions of a record. Every method raises RecordsError."""

    def __init__(self, address: str) -> None:
        """Read all ids at once: whether one is unknown or ambiguous depends on the whole record."""
        self._records = Records(address, Choice())
        self._query = self._records.query
        self._read_ids()
        self._read_outcomes()

    def counts(self) -> Counts:
        """What became of the outcomes."""
        row = self._query(
            """
            select
              (select coalesce(sum(rows), 0) from latest),
              (select count(*) from latest),
              (select coalesce(sum(repeated), 0) from latest),
              (select count(*) from latest where kinds > 1),
              (select count(*) from latest where id not in (select id from seen)),
              (select count(*) from ambiguous),
              (select count(*) from seen where id in (select id from ambiguous)),
              (select count(*) from latest where id in (select id from ambiguous)),
              (select count(*) - count(distinct id) from seen where id not in (select id from ambiguous))
            """
        ).fetchall()[0]
        return Counts(*map(int, row))

    def versions(self, choice: Choice) -> list[Version]:
        """The chosen versions, in the order of their numbers."""
        found = self._query(
            f"""
            select model_name, model_version, max(run_id), max(filename) from seen
            where {choice.condition} group by model_name, model_version
            order by model_name, len(model_version), model_version
            """,  # noqa: S608  the condition has parameters for all values
            **choice.parameters,
        ).fetchall()
        return [
            _version(model, number, run_id or "", self._said(file))
            for model, number, run_id, file in found
        ]

    def joined(self, version: Version, since: datetime | None, by: str | None) -> Joined:
        """A version's predictions since then, each with its period (`by`: a key of PERIODS) and its outcome."""
        files = self._query(
            "select distinct filename from seen where model_name = $model and model_version = $number order by 1",
            model=version.model,
            number=version.number,
        )
        paths = [path for (path,) in files.fetchall()]
        types = self._types(paths)
        columns = _columns(version, types)
        choice = Choice(model=version.model, version=version.number, since=since)
        period = f"strftime(make_timestamp(time), '{PERIODS[by]}')" if by else "''"
        found = self._query(
            f"""
            with mine as (
              select id, epoch_us(time) as time, {columns} from read_parquet($paths, union_by_name=true)
              where {choice.condition} and id not in (select id from ambiguous)
              qualify row_number() over (partition by id order by time) = 1
            )
            select {period} as period, (latest.known - time) / {_DAY} as days, outcome, mine.* exclude (id, time)
            from mine left join latest using (id) order by mine.time, mine.id
            """,  # noqa: S608  columns are quoted, and values are parameters
            paths=paths,
            **choice.parameters,
        ).fetchnumpy()
        return _joined(version, found, types["prediction"])

    def _read_ids(self) -> None:
        paths = self._records.paths
        self._query(
            f"""
            create temp table seen as
            select id, time, protocol, model_name, model_version, run_id, filename
            from read_parquet($paths, union_by_name=true, filename=true) where {NOT_TRIED_OUT}
            """,  # noqa: S608  the condition is a constant
            paths=paths,
        )
        features = [
            _quoted(name) for name in self._records.columns() if name.startswith("feature_")
        ]
        same = ", ".join(["model_name", "model_version", "prediction", *features])
        self._query(
            "create temp table twice as select id from seen group by id having count(*) > 1"
        )
        self._query("create temp table ambiguous (id varchar)")
        if self._query("select count(*) from twice").fetchall() != [(0,)]:
            self._query(
                f"""
                insert into ambiguous select id from (
                  select id, hash({same}) as content from read_parquet($paths, union_by_name=true)
                  where id in (select id from twice) and {NOT_TRIED_OUT}
                ) group by id having count(distinct content) > 1
                """,  # noqa: S608  the columns are quoted
                paths=paths,
            )

    def _read_outcomes(self) -> None:
        self._query(
            "create temp table reported (id varchar, outcome varchar, known bigint, received bigint)"
        )
        if self._records.outcome_paths:
            self._query(
                """
                insert into reported
                select id, outcome, epoch_us("at"), epoch_us(received_at)
                from read_parquet($paths, union_by_name=true)
                """,
                paths=self._records.outcome_paths,
            )
        # A batch of one row is recorded by the id of its request: its client may number the row all the same.
        self._query(
            """
            update reported set id = left(id, len(id) - 2)
            where id like '%#0' and id not in (select id from seen)
              and left(id, len(id) - 2) in (select id from seen)
            """
        )
        # The time is that of the first report of the outcome that counts: a repetition makes none later.
        self._query(
            """
            create temp table latest as
            with ordered as (
              select *, lag(outcome) over places as before,
                last_value(outcome) over (places rows between unbounded preceding and unbounded following) as final
              from reported window places as (partition by id order by known, received, outcome)
            )
            select id, any_value(final) as outcome, min(known) filter (outcome = final) as known, count(*) as rows,
              count(*) filter (outcome = before) as repeated, count(distinct outcome) as kinds
            from ordered group by id
            """
        )

    def _said(self, file: str) -> Mapping[str, Any]:
        """What a file says of its version."""
        found = self._query(
            "select decode(value) from parquet_kv_metadata($path) where decode(key) = 'mlflow-hotswap'",
            path=file,
        ).fetchall()
        if not found:
            raise RecordsError(f"{file} is no file of recorded predictions")
        said: Mapping[str, Any] = json.loads(found[0][0])
        return said

    def _types(self, paths: list[str]) -> Mapping[str, str]:
        rows = self._query(
            "describe select * from read_parquet($paths, union_by_name=true)", paths=paths
        )
        return {name: type_ for name, type_, *_ in rows.fetchall()}


def _version(model: str, number: str, run_id: str, said: Mapping[str, Any]) -> Version:
    classes = tuple(_name(label) for label in said["class_labels"])
    positive, point = said.get("positive_class"), said.get("operating_point")
    threshold = None
    if point is not None:
        positive, threshold = point
    return Version(model, number, run_id, classes, positive, threshold)


def _name(label: Any) -> str:
    """A class as text, as the service writes it."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _columns(version: Version, types: Mapping[str, str]) -> str:
    """The prediction, and the probabilities of all classes if the version has them, in SQL."""
    names = [f"probability_{name}" for name in version.classes]
    scores = [f"cast({_quoted(name)} as double) as p{n}" for n, name in enumerate(names)]
    if not all(each in types for each in names):
        scores = []
    kind = "double" if _is_value(version, types["prediction"]) else "varchar"
    return ", ".join([f"cast(prediction as {kind}) as prediction", *scores])


def _is_value(version: Version, type_: str) -> bool:
    """Whether predictions, of this type of DuckDB's, are values of a regressor."""
    return type_ in {"FLOAT", "DOUBLE"} and not version.classes


def _joined(version: Version, found: Mapping[str, Any], type_: str) -> Joined:
    period, days = found["period"], np.ma.filled(found["days"].astype(np.float64), math.nan)
    reported = [None if each is np.ma.masked else each for each in found["outcome"]]
    scores = [found[f"p{n}"] for n in range(len(version.classes)) if f"p{n}" in found]
    table = np.column_stack([np.ma.filled(each, math.nan) for each in scores]) if scores else None
    if table is not None and np.isnan(table).any():
        table = None
    if type_.endswith("[]"):
        several = np.array([NONE if each is None else OTHER for each in reported], np.int64)
        return Joined(version, period, several, several, None, days, several_targets=True)
    if _is_value(version, type_):
        actual = np.array([_number(each) for each in reported], np.float64)
        predicted = np.ma.filled(found["prediction"].astype(np.float64), math.nan)
        return Joined(version, period, predicted, actual, None, days)
    labels = [str(each) for each in found["prediction"]]
    if not version.classes:
        # A graph without a list of its classes: the classes that it answered, and the true ones.
        version = replace(version, classes=tuple(sorted({*labels, *filter(None, reported)})))
    places = {name: number for number, name in enumerate(version.classes)}
    predicted = np.array([places.get(each, OTHER) for each in labels], np.int64)
    actual = np.array([_place(each, places) for each in reported], np.int64)
    # A prediction that is none of the classes cannot be compared.
    actual = np.where((predicted < 0) & (actual != NONE), OTHER, actual)
    return Joined(version, period, predicted, actual, table, days)


def _place(outcome: str | None, places: Mapping[str, int]) -> int:
    """The number of the class that an outcome names: `1.0` is 1, and `True` is true, as tables of others write them."""
    if outcome is None:
        return NONE
    for text in _spellings(outcome):
        if text in places:
            return places[text]
    return OTHER


def _spellings(outcome: str) -> Iterator[str]:
    yield outcome
    yield outcome.strip()
    if outcome.strip().lower() in {"true", "false"}:
        yield outcome.strip().lower()
    number = _number(outcome)
    if math.isfinite(number) and number == int(number):
        yield str(int(number))


def _number(outcome: str | None) -> float:
    """The value of an outcome: NaN without one, infinite for a text that is no finite number."""
    if outcome is None:
        return math.nan
    try:
        number = float(outcome)
    except ValueError:
        return math.inf
    return number if math.isfinite(number) else math.inf


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
