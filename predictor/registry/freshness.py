"""PollFreshness: how old a response to a poll is, and conditional polls. A cache may stand before the registry.

The age never compares the clocks of two machines. It is the larger of two:

- `Age` (RFC 9111), which a cache counts with one clock, its own.
- For how long `Date` has stood still, on the monotonic clock of this process. The registry writes a new `Date`
  each second, and a cache passes it on; nginx sends no `Age`.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from predictor import clock
from predictor.errors import RegistryUnreachable
from predictor.registry.client import Reply

_MIN_SECONDS, _MAX_POLLS = 10.0, 3
_MAX_ETAG = 256  # characters


def max_age(poll_seconds: float) -> float:
    """The accepted age of a response, in seconds: three polls, and at least ten seconds."""
    return max(_MIN_SECONDS, _MAX_POLLS * poll_seconds)


class PollFreshness:
    """Compares each response to a poll with the one before. All polls are the same question."""

    def __init__(self, max_seconds: float, now: Callable[[], float] = clock.now) -> None:
        """`max_seconds` is the accepted age of a response; `now` is a monotonic clock."""
        self._max_seconds = max_seconds
        self._now = now
        self._date = ""
        self._date_since = 0.0
        self._etag = ""
        self._last: Reply | None = None
        self._expects_change = False

    def expect_change(self) -> None:
        """Let the next poll tell caches that their copy may be too old. Not more: a fleet must not pass its caches."""
        self._expects_change = True

    def next_headers(self) -> Mapping[str, str]:
        """The header fields of a poll that is sent now."""
        fields = {"If-None-Match": self._etag} if self._etag else {}
        if self._expects_change:
            self._expects_change = False
            fields["Cache-Control"] = "no-cache"
        return fields

    def checked(self, url: str, reply: Reply) -> Reply:
        """The response; the last one if this one says "not modified".

        Raises RegistryUnreachable if a cache has kept it for too long: it has lost the registry.
        """
        age = self._age(reply)
        if age > self._max_seconds:
            raise RegistryUnreachable(
                url,
                f"a cache before it answers with a copy that is {age:.0f} s old; "
                f"copies of up to {self._max_seconds:g} s are accepted",
            )
        if reply.status == HTTPStatus.NOT_MODIFIED and self._last is not None:
            return self._last
        etag = reply.headers.get("etag", "")
        valid = reply.status == HTTPStatus.OK and etag.isascii() and len(etag) <= _MAX_ETAG
        self._etag, self._last = (etag, reply) if etag and valid else ("", None)
        return reply

    def _age(self, reply: Reply) -> float:
        """The lower bound of the response's age, in seconds."""
        now, date = self._now(), reply.headers.get("date", "")
        if not date or date != self._date:
            self._date, self._date_since = date, now
        age = reply.headers.get("age", "")
        counted = float(age) if age.isascii() and age.isdecimal() else 0.0
        return max(counted, now - self._date_since)
