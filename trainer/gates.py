"""Gates: the metrics that decide a promotion, and how much worse than the champion's each may be.

A gate is written `NAME:TOLERANCE` or `NAME:TOLERANCE:lower`, such as `test_roc_auc:0.01`, `test_rmse:2%`
or `test_seconds:0.5:lower`. The registered model stores it as the tag `gate.NAME`.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Self

from trainer import tag_names
from trainer.errors import GateError

FORM = "NAME:TOLERANCE[:lower|:higher]"
_DIRECTIONS = {"lower": True, "higher": False}
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

# The words of a metric's name that say which direction is better. Names such as `d2_log_loss_score`,
# `neg_mean_squared_error` and `brier_score` have several; the first of these three decides.
_HIGHER_FIRST = re.compile("neg|d2|r2|skill")
_LOWER = re.compile(
    ".*loss|.*error|rmse|mse|mae|mape|smape|wape|mase|rmsle|msle|medae|l1|l2|brier|deviance|hamming|"
    "hinge|pinball|crps|nll|perplexity|ece|false|fpr|fnr|fdr|bouldin|regret"
)
_HIGHER = re.compile(
    "accuracy|auc|aucpr|auroc|auprc|precision|recall|sensitivity|specificity|f1|f2|fbeta|mcc|kappa|"
    "corrcoef|true|tpr|tnr|ppv|npv|jaccard|iou|dice|ndcg|gini|score"
)


@dataclass(frozen=True)
class Gate:
    """One metric, and how much worse than the champion's it may be.

    `tolerance` has the metric's unit; if `relative`, it is a share of the champion's value.
    `lower_is_better` is None if nothing says so: such a gate refuses every promotion.
    """

    metric: str
    tolerance: float
    relative: bool = False
    lower_is_better: bool | None = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME:TOLERANCE[:lower|:higher]`; the tolerance may be a percentage. Raises GateError."""
        # From the right, because a metric's name may contain colons.
        name, colon, tolerance = text.rpartition(":")
        lower_is_better = _DIRECTIONS.get(tolerance.strip().lower())
        if lower_is_better is not None:
            name, colon, tolerance = name.rpartition(":")
        name = name.strip()
        if not colon or not name:
            raise GateError(text, f"it is not {FORM}")
        amount, relative = _read_tolerance(text, tolerance.strip())
        if lower_is_better is None:
            lower_is_better = is_error(name)
        return cls(name, amount, relative, lower_is_better)

    def passes(self, value: float, champion: float) -> bool:
        """Whether `value` is not worse than `champion` by more than the tolerance."""
        loss = value - champion if self.lower_is_better else champion - value
        allowed = self.tolerance * (abs(champion) if self.relative else 1)
        # A difference of exactly the tolerance is allowed; binary fractions must not decide otherwise.
        return loss <= allowed + 1e-12 * max(1, abs(champion))

    def sort_key(self, value: float | None) -> float:
        """The best value first; without a value, last."""
        if value is None or math.isnan(value):
            return math.inf
        return value if self.lower_is_better else -value

    @property
    def undecided(self) -> str:
        """What to do if neither the gate nor the metric's name says which direction is better."""
        return (
            f"the name {self.metric} does not say whether lower or higher is better; "
            f"add :lower or :higher, as in {self.metric}:{self.limit}:lower"
        )

    @property
    def limit(self) -> str:
        """The tolerance as text: `0.01` or `2%`."""
        return f"{self.tolerance * 100:.12g}%" if self.relative else f"{self.tolerance:.12g}"

    @property
    def tag_value(self) -> str:
        """The tolerance, with the direction if the metric's name does not say it."""
        if is_error(self.metric) is self.lower_is_better:
            return self.limit
        return f"{self.limit}:{'lower' if self.lower_is_better else 'higher'}"

    def __str__(self) -> str:
        return f"{self.metric}:{self.tag_value}"


Gates = tuple[Gate, ...]

DEFAULTS: Mapping[str, Gates] = {
    "binary": (Gate("test_roc_auc", 0.005), Gate("test_sensitivity", 0.01)),
    "multiclass": (Gate("test_roc_auc", 0.005), Gate("test_f1", 0.01)),
    # On the same rows, R² and RMSE say the same; the mean absolute error weighs large errors less.
    "regression": (
        Gate("test_rmse", 0.02, relative=True, lower_is_better=True),
        Gate("test_mae", 0.02, relative=True, lower_is_better=True),
    ),
}


def parse_gates(texts: Iterable[str]) -> Gates:
    """Read several gates; raises GateError if one is invalid, or if two name the same metric."""
    gates: dict[str, Gate] = {}
    for text in texts:
        gate = Gate.parse(text)
        if gate.metric in gates:
            raise GateError(text, f"there is another gate for {gate.metric}")
        gates[gate.metric] = gate
    return tuple(gates.values())


def listed(gates: Gates) -> str:
    """The gates as text, separated by blanks."""
    return " ".join(map(str, gates)) or "none"


def stored_gates(tags: Mapping[str, str]) -> Gates:
    """The gates in the tags of a registered model, the headline metric first. Raises GateError."""
    try:
        gates = parse_gates(
            f"{key.removeprefix(tag_names.GATE)}:{value}"
            for key, value in tags.items()
            if key.startswith(tag_names.GATE)
        )
    except GateError as error:
        raise GateError(
            error.text,
            f"{error.problem}; it is a tag of the registered model, which "
            "`python -m trainer gates NAME:TOLERANCE …` replaces",
        ) from error
    # Tags have no order.
    first = {each.metric for default in DEFAULTS.values() for each in default[:1]}
    return tuple(sorted(gates, key=lambda gate: (gate.metric not in first, gate.metric)))


def gate_tags(gates: Gates) -> dict[str, str]:
    """The gates as tags of a registered model."""
    return {tag_names.GATE + gate.metric: gate.tag_value for gate in gates}


@dataclass(frozen=True)
class GateChange:
    """A change of the stored gates; `before` and `after` are lists of gates as text, empty for the defaults.

    A promotion that stores gates has it in its own record instead.
    """

    when: datetime
    who: str
    why: str
    before: str
    after: str

    @property
    def tag_key(self) -> str:
        """The key of the registered model's tag, which has the time."""
        return tag_names.GATES_CHANGED + self.when.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")

    @property
    def tag_value(self) -> str:
        """The tag's value: JSON."""
        when = self.when.astimezone(UTC).isoformat(timespec="microseconds")
        return json.dumps({**asdict(self), "when": when})


_UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def gate_changes(tags: Mapping[str, str]) -> list[GateChange]:
    """The changes in the tags of a registered model, the oldest first; tags that are none are ignored."""
    found = []
    for key in sorted(tags):
        if key.startswith(tag_names.GATES_CHANGED):
            with contextlib.suppress(*_UNREADABLE):
                record = json.loads(tags[key])
                when = datetime.fromisoformat(record["when"]).astimezone(UTC)
                texts = (str(record[name]) for name in ("who", "why", "before", "after"))
                found.append(GateChange(when, *texts))
    return found


def is_error(metric: str) -> bool | None:
    """Whether a lower value of the metric is better, judged by its name; None if the name does not say so."""
    words = re.split(r"[^a-z0-9]+", metric.lower())
    for pattern, lower_is_better in ((_HIGHER_FIRST, False), (_LOWER, True), (_HIGHER, False)):
        if any(map(pattern.fullmatch, words)):
            return lower_is_better
    return None


def _read_tolerance(text: str, tolerance: str) -> tuple[float, bool]:
    """The tolerance, and whether it is relative."""
    number = tolerance.removesuffix("%").rstrip()
    amount = float(number) if _NUMBER.fullmatch(number) else math.nan
    if not math.isfinite(amount):
        raise GateError(
            text, f"{tolerance!r} is not a tolerance such as 0.01 or 2%, which must not be negative"
        )
    relative = number != tolerance
    return amount / 100 if relative else amount, relative
