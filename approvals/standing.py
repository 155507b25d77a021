"""Standing: whether a version is approved, and why not. Imports no cryptography, so that any room may name it."""

from dataclasses import dataclass
from datetime import datetime

_MAX_NAMES = 10


@dataclass(frozen=True)
class Standing:
    """Whether a version is approved, and why not.

    `approved_by` are the names of the approvers whose approval counts, in order. `rejected` has a phrase for
    each approval that does not count. `expires` is when the approvals cease to be enough; None for never.
    `missing` are the names of the approvers who could still approve, in order.
    """

    required: int
    approved_by: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    expires: datetime | None = None
    missing: tuple[str, ...] = ()

    @property
    def sufficient(self) -> bool:
        """Whether enough people have approved."""
        return len(self.approved_by) >= self.required

    @property
    def count(self) -> str:
        """How many of the required approvals there are, such as `1 of 2`."""
        return f"{len(self.approved_by)} of {self.required}"

    @property
    def summary(self) -> str:
        """The standing as a phrase, such as `1 of 2 approvals (alice); bob: withdrawn`."""
        by = f" ({', '.join(self.approved_by)})" if self.approved_by else ""
        start = f"{self.count} approvals{by}"
        return "; ".join([start, *self.rejected])

    @property
    def refusal(self) -> str:
        """The summary, and whose approvals are missing, such as `1 of 2 approvals (alice); 1 more needed, of bob, carol`."""
        if self.sufficient or not self.missing:
            return self.summary
        names = ", ".join(self.missing[:_MAX_NAMES])
        others = len(self.missing) - _MAX_NAMES
        more = f" and {others} others" if others > 0 else ""
        return (
            f"{self.summary}; {self.required - len(self.approved_by)} more needed, of {names}{more}"
        )
