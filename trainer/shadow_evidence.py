"""The evidence of a shadow that `promote --require-shadow` asks for: what a version would have answered."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from trainer.errors import GateError
from trainer.promotion import Finding

FORM = "rows=1000,flips=0.02"
_PROBABILITY = "probability_"
_LIMITS = ("rows", "flips", "difference", "not_finite")


@dataclass(frozen=True)
class Graph:
    """A version, and the SHA-256 of its ONNX graph in hex."""

    version: str
    sha256: str

    def __str__(self) -> str:
        return f"version {self.version} (sha256 {self.sha256[:12]}…)"


@dataclass(frozen=True)
class Requirement:
    """What the shadow must have shown.

    At least `rows` were compared. At most the share `flips` of them changed sides, the share `not_finite` had no
    finite answer or failed, and, if given, 99 % of the differences in probability (a regressor's: in value) are at most
    `difference`.
    """

    rows: int
    flips: float
    difference: float | None = None
    not_finite: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `rows=1000,flips=0.02[,difference=0.1][,not_finite=0]`. Raises GateError."""
        given: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = (each.strip() for each in part.partition("="))
            if name not in _LIMITS or name in given:
                raise GateError(text, f"it needs the form {FORM}, with {', '.join(_LIMITS)}")
            try:
                given[name] = float(value)
            except ValueError:
                given[name] = math.nan
            if not (0 <= given[name] < math.inf) or (
                name in {"flips", "not_finite"} and given[name] > 1
            ):
                raise GateError(text, f"{name} must be a {_KINDS[name]}, not {value!r}")
        if missing := [name for name in ("rows", "flips") if name not in given]:
            raise GateError(text, f"{' and '.join(missing)} are missing, as in {FORM}")
        if given["rows"] < 1 or given["rows"] % 1:
            raise GateError(text, "rows must be a whole number, at least 1")
        return cls(
            int(given["rows"]),
            given["flips"],
            given.get("difference"),
            given.get("not_finite", 0.0),
        )


_KINDS = {
    "rows": "number of rows",
    "flips": "share, 0 to 1",
    "difference": "difference in probability, or in a regressor's value",
    "not_finite": "share, 0 to 1",
}


@dataclass(frozen=True)
class Evidence:
    """What a shadow of `challenger` answered beside `champion`, as `where` tells it.

    `failed` are rows without a finite answer of the shadow. `difference` is the 99 % quantile of the absolute
    difference in probability, the largest of several places; NaN if it is not known.
    """

    where: str
    challenger: Graph
    champion: Graph
    rows: int
    flips: int
    failed: int = 0
    difference: float = math.nan


def of_service(where: str, model: dict[str, Any]) -> Evidence | str:
    """The evidence in the body of `GET /model`; or why there is none."""
    shadow = model.get("shadow")
    if not shadow:
        return f"{where} has no shadow (PREDICTOR_SHADOW_URI)"
    beside = shadow.get("compared_with")
    if not shadow.get("digest") or not beside:
        return (
            f"the shadow of {where} compares nothing: {shadow.get('reason') or shadow.get('state')}"
        )
    return Evidence(
        where,
        _graph(shadow),
        _graph(beside),
        int(shadow["rows"]),
        sum(int(each["rows"]) for each in shadow["flips"]),
        int(shadow["not_finite"]) + int(shadow["failed_rows"]),
        float((shadow.get("difference") or {}).get("p99", math.nan)),
    )


def of_records(address: str, model_name: str, challenger: Graph, champion: Graph) -> Evidence | str:
    """The evidence in the rows that a service recorded; or why there is none. Raises RecordsError."""
    from trainer.records import Choice, Records  # needs DuckDB, which is an extra

    records = Records(address, Choice(model=model_name, version=champion.version))
    columns = records.columns() if records else {}
    if "shadow_digest" not in columns:
        return f"{address} has no row of version {champion.version} that a shadow answered"
    is_value = columns["prediction"] in {"DOUBLE", "FLOAT"}
    flipped = "cast(shadow_prediction as varchar) <> cast(prediction as varchar)"
    classes = [] if is_value else [name for name in columns if name.startswith(_PROBABILITY)]
    rows, flips, failed, difference = records.read(
        f"count(shadow_prediction), count(*) filter (where {'false' if is_value else flipped}), "
        "count(*) filter (where shadow_prediction is null), "
        f"quantile_disc({_difference(classes, is_value=is_value)}, 0.99)",
        after="and digest = $champion and shadow_digest = $challenger",
        champion=f"sha256:{champion.sha256}",
        challenger=f"sha256:{challenger.sha256}",
        **{f"class_{n}": name.removeprefix(_PROBABILITY) for n, name in enumerate(classes)},
    )[0]
    largest = math.nan if difference is None else difference
    return Evidence(address, challenger, champion, rows, flips, failed, largest)


def _difference(classes: Sequence[str], *, is_value: bool) -> str:
    """The absolute difference in SQL: of a regressor's values, or of the probabilities of the shadow's class.

    For two classes that is the difference of either one.
    """
    if is_value:
        return "abs(prediction - shadow_prediction)"
    if not classes:
        return "cast(null as double)"
    quoted = [name.replace('"', '""') for name in classes]
    cases = " ".join(f'when $class_{n} then "{name}"' for n, name in enumerate(quoted))
    return f"abs(shadow_probability - case cast(shadow_prediction as varchar) {cases} end)"


def _graph(body: dict[str, Any]) -> Graph:
    return Graph(str(body["model_version"]), str(body["digest"]).removeprefix("sha256:"))


def judge(
    requirement: Requirement,
    challenger: Graph,
    champion: Graph,
    found: Sequence[Evidence | str],
) -> Iterator[Finding]:
    """Judge the evidence on exactly these two graphs; evidence on others does not count, and is named."""
    counted: list[Evidence] = []
    for each in found:
        if isinstance(each, str):
            yield Finding(False, each)
        elif (each.challenger.sha256, each.champion.sha256) != (
            challenger.sha256,
            champion.sha256,
        ):
            yield Finding(
                False,
                f"the shadow of {each.where} is {each.challenger} beside {each.champion}, not {challenger} "
                f"beside {champion}",
            )
        else:
            counted.append(each)
    if not counted:
        return
    rows, failed = sum(each.rows for each in counted), sum(each.failed for each in counted)
    flips = sum(each.flips for each in counted)
    yield _at_least(rows, requirement.rows)
    yield _at_most("changed sides", flips, rows, requirement.flips)
    yield _at_most("had no finite answer", failed, rows + failed, requirement.not_finite)
    if requirement.difference is not None:
        # NaN is no number to compare: one place that does not know makes it unknown.
        unknown = [each.where for each in counted if math.isnan(each.difference)]
        if unknown:
            why = "does not tell how far the shadow's answers differ"
            yield Finding(
                False, f"{', '.join(unknown)} {why}; leave out difference=…, or give it time"
            )
            return
        difference = max(each.difference for each in counted)
        passed = difference <= requirement.difference
        limit = f"{requirement.difference:g}"
        yield Finding(
            passed,
            f"99 % of the shadow's answers differ by at most {difference:.4g}"
            f"{', within' if passed else ', beyond'} {limit}",
        )


def _at_least(rows: int, required: int) -> Finding:
    enough = rows >= required
    word = "the" if enough else "fewer than the"
    return Finding(enough, f"the shadow answered {rows:,} rows, {word} required {required:,}")


def _at_most(what: str, count: int, rows: int, limit: float) -> Finding:
    share = count / rows if rows else 0.0
    passed = share <= limit
    return Finding(
        passed,
        f"{count:,} of the shadow's {rows:,} rows {what} ({share:.2%}), "
        f"{'within' if passed else 'beyond'} {limit:.2%}",
    )
