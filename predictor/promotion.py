"""When the serving version was promoted, as far as the registry says: MLflow keeps no such date itself.

Our trainer writes a tag for each transition, `transition.20261123T120102123456Z`, whose value is JSON
with `to` and `when`. A version that was promoted by other means has none.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

_TAG_PREFIX = "transition."
_PRODUCTION = "Production"


class _Transition(msgspec.Struct):
    to: str
    when: datetime


def promoted_at(tags: Mapping[str, str]) -> float | None:
    """Seconds since the epoch of the last recorded transition, where that was to Production."""
    found = [
        transition
        for key, value in tags.items()
        if key.startswith(_TAG_PREFIX) and (transition := _read(value))
    ]
    last = max(found, key=lambda each: each.when, default=None)
    return last.when.timestamp() if last and last.to == _PRODUCTION else None


def _read(value: str) -> _Transition | None:
    try:
        transition = msgspec.json.decode(value, type=_Transition)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # anybody may write a tag of that name
    if transition.when.tzinfo is None:
        transition.when = transition.when.replace(tzinfo=UTC)
    return transition
