"""The promotion policy: a pure function from facts about two versions to a decision with reasons."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Facts:
    """Facts about one version; None if MLflow does not have them.

    `parity` is the version's tag, `passed` or anything else. `roc_auc` and `sensitivity` (for
    malignant) are the run's metrics on the held-out test rows, in 0..1. `dataset_digest` names the
    rows that the version was trained and tested on.
    """

    version: str
    parity: str | None
    roc_auc: float | None
    sensitivity: float | None
    dataset_digest: str | None

    @classmethod
    def read(cls, version: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> Self:
        """Read the facts from a version's tags and its run's metrics."""
        return cls(
            version=version,
            parity=tags.get("parity"),
            roc_auc=metrics.get("test_roc_auc"),
            sensitivity=metrics.get("test_sensitivity"),
            dataset_digest=tags.get("dataset_digest"),
        )


@dataclass(frozen=True)
class Policy:
    """The limits of a promotion: allowed loss of each metric, and whether other data is allowed."""

    roc_auc_tolerance: float = 0.005
    sensitivity_tolerance: float = 0.01
    different_data: bool = False


@dataclass(frozen=True)
class Finding:
    """The result of one check, with its reason."""

    passed: bool
    reason: str


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

    A fact that is missing is a refusal: what cannot be compared is not known to be as good.
    """
    findings = [_parity(challenger)]
    findings += _metric(
        "test_roc_auc",
        (challenger.version, challenger.roc_auc),
        (champion.version, champion.roc_auc) if champion else None,
        policy.roc_auc_tolerance,
    )
    findings += _metric(
        "test_sensitivity",
        (challenger.version, challenger.sensitivity),
        (champion.version, champion.sensitivity) if champion else None,
        policy.sensitivity_tolerance,
    )
    findings += _data(challenger, champion, policy)
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


def _metric(
    name: str,
    challenger: tuple[str, float | None],
    champion: tuple[str, float | None] | None,
    tolerance: float,
) -> Iterator[Finding]:
    version, value = challenger
    if not _known(value):
        yield Finding(False, f"version {version} has no {name}")
    if champion is None:
        if _known(value):
            yield Finding(True, f"{name} {value:.6g}, with no champion to compare")
        return
    holder, mark = champion
    if not _known(mark):
        yield Finding(False, f"champion {holder} has no {name} to compare with")
    if value is not None and mark is not None and _known(value) and _known(mark):
        yield _comparison(name, value, mark, tolerance)


def _comparison(name: str, value: float, mark: float, tolerance: float) -> Finding:
    # A difference of exactly the tolerance is allowed; binary fractions must not decide otherwise.
    passed = mark - value <= tolerance + 1e-12
    relation = "is not below" if passed else "is below"
    return Finding(
        passed, f"{name} {value:.6g} {relation} the champion's {mark:.6g} by more than {tolerance}"
    )


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _data(challenger: Facts, champion: Facts | None, policy: Policy) -> Iterator[Finding]:
    own = challenger.dataset_digest
    if policy.different_data:
        yield Finding(True, "different data is allowed by --different-data")
        return
    if own is None:
        yield Finding(False, f"version {challenger.version} has no dataset digest")
    if champion is None:
        return
    other = champion.dataset_digest
    if other is None:
        yield Finding(False, f"champion {champion.version} has no dataset digest to compare with")
    if own is not None and other is not None:
        yield _same_data(own, other)


def _same_data(own: str, other: str) -> Finding:
    if own == other:
        return Finding(True, f"both were measured on dataset {own}")
    return Finding(
        False,
        f"measured on dataset {own}, the champion on {other}, so the metrics "
        "do not compare; --different-data allows it",
    )
