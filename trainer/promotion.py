"""The promotion policy: a pure function from facts about two versions to a decision with reasons."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from trainer import tag_names
from trainer.gates import DEFAULTS, FORM, Gate, Gates

# Versions without the tag `task` are the built-in example's, or older.
DEFAULT_TASK = "binary"
_LISTED = 12


@dataclass(frozen=True)
class Facts:
    """Facts about one version; None if MLflow does not have them.

    `parity` is the version's tag, `passed` or anything else. `metrics` are those of its run.
    `dataset_digest` names the rows that the version was trained and tested on.
    """

    version: str
    parity: str | None
    metrics: Mapping[str, float]
    dataset_digest: str | None
    task: str = DEFAULT_TASK

    @classmethod
    def read(cls, version: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> Self:
        """Read the facts from a version's tags and its run's metrics."""
        return cls(
            version=version,
            parity=tags.get(tag_names.PARITY),
            metrics=metrics,
            dataset_digest=tags.get(tag_names.DATASET_DIGEST),
            task=tags.get(tag_names.TASK, DEFAULT_TASK),
        )


@dataclass(frozen=True)
class Policy:
    """The limits of a promotion: the gates, whether other data is allowed, and what live traffic must have shown.

    Without `gates`, those of the registered model count, or else the defaults of the version's task. `evidence` gives
    the findings on a challenger and the champion, by their numbers.
    """

    gates: Gates = ()
    different_data: bool = False
    evidence: "Evidence | None" = None


@dataclass(frozen=True)
class Finding:
    """The result of one check, with its reason."""

    passed: bool
    reason: str


Evidence = Callable[[str, str | None], Iterable[Finding]]


@dataclass(frozen=True)
class Decision:
    """All findings, in the order of the checks; one failed check refuses the promotion."""

    findings: tuple[Finding, ...]

    @property
    def allowed(self) -> bool:
        """Whether no check failed."""
        return not self.refusals

    @property
    def refusals(self) -> tuple[str, ...]:
        """The reasons of all failed checks."""
        return tuple(finding.reason for finding in self.findings if not finding.passed)


def judge_promotion(challenger: Facts, champion: Facts | None, policy: Policy) -> Decision:
    """Judge `challenger` against `champion`; without a champion, judge only the challenger's facts.

    Without gates in `policy`, those of the challenger's task count. A fact that is missing is a
    refusal: what cannot be compared is not known to be as good.
    """
    findings = [_parity(challenger)]
    gates = policy.gates or DEFAULTS.get(challenger.task, ())
    if not gates:
        findings.append(Finding(False, _no_gates(challenger)))
    for gate in gates:
        findings += _metric(gate, challenger, champion)
    findings += _data(challenger, champion, policy)
    if policy.evidence is not None:
        findings += policy.evidence(challenger.version, champion.version if champion else None)
    return Decision(tuple(findings))


def _parity(challenger: Facts) -> Finding:
    if challenger.parity is None:
        return Finding(
            False, f"version {challenger.version} has no parity report, so its ONNX is unproven"
        )
    return Finding(
        challenger.parity == "passed",
        f"parity of version {challenger.version} is {challenger.parity!r}",
    )


def _no_gates(challenger: Facts) -> str:
    return (
        f"the task {challenger.task!r} has no default gates; choose metrics with --gate {FORM}; "
        f"{_existing(challenger.metrics)}"
    )


def _metric(gate: Gate, challenger: Facts, champion: Facts | None) -> Iterator[Finding]:
    name = gate.metric
    value = challenger.metrics.get(name)
    if value is None:
        reason = f"version {challenger.version} has no {name}; {_existing(challenger.metrics)}"
        yield Finding(False, reason)
    elif not math.isfinite(value):
        yield Finding(False, f"{name} of version {challenger.version} is {value}")
    elif gate.lower_is_better is None:
        yield Finding(False, gate.undecided)
    elif champion is None:
        yield Finding(True, f"{name} {value:.6g}, with no champion to compare")
    if champion is None:
        return
    mark = champion.metrics.get(name)
    if mark is None:
        yield Finding(False, f"champion {champion.version} has no {name} to compare with")
    elif not math.isfinite(mark):
        yield Finding(False, f"{name} of champion {champion.version} is {mark}")
    elif value is not None and math.isfinite(value) and gate.lower_is_better is not None:
        yield _comparison(gate, value, mark)


def _existing(metrics: Mapping[str, float]) -> str:
    """What there is instead of a missing metric."""
    if not metrics:
        return (
            "its run has no metrics; `exporters.log_model(…, y=Y)` logs them, "
            "and so does MLflow's `log_metric`"
        )
    names = sorted(metrics, key=lambda name: (not name.startswith("test_"), name))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"its run has {', '.join(names[:_LISTED])}{more}"


def _comparison(gate: Gate, value: float, mark: float) -> Finding:
    passed = gate.passes(value, mark)
    shown, champion = _texts(value, mark)
    relation = ("is not " if passed else "is ") + ("above" if gate.lower_is_better else "below")
    return Finding(
        passed,
        f"{gate.metric} {shown} {relation} the champion's {champion} by more than {gate.limit}",
    )


def _texts(value: float, other: float) -> tuple[str, str]:
    """Two numbers with six digits, or with as many as show that they differ."""
    for digits in range(6, 18):
        texts = f"{value:.{digits}g}", f"{other:.{digits}g}"
        if value == other or texts[0] != texts[1]:
            break
    return texts


def _data(challenger: Facts, champion: Facts | None, policy: Policy) -> Iterator[Finding]:
    own = challenger.dataset_digest
    if policy.different_data:
        yield Finding(True, "different data is allowed by --different-data")
        return
    if own is None:
        yield Finding(False, _no_digest(challenger.version))
    if champion is None:
        return
    other = champion.dataset_digest
    if other is None:
        yield Finding(False, f"champion {champion.version} has no dataset digest to compare with")
    if own is not None and other is not None:
        yield _same_data(own, other)


def _no_digest(version: str) -> str:
    return (
        f"version {version} has no tag dataset_digest, which says what its metrics were measured on; "
        "--different-data allows it"
    )


def _same_data(own: str, other: str) -> Finding:
    if own == other:
        return Finding(True, f"both were measured on dataset {own}")
    return Finding(
        False,
        f"measured on dataset {own}, the champion on {other}, so the metrics "
        "do not compare; --different-data allows it",
    )
