"""Conditional requests: what a client has already is not sent to it again (RFC 9110, section 13)."""

import hashlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from fastapi import Request, Response

NOSNIFF = ("X-Content-Type-Options", "nosniff")
"""On every answer to a request: its type is what it says, and nothing that it looks like."""

NO_STORE = {"Cache-Control": "no-store"}
"""On predictions and on metrics: no browser and no proxy keeps a copy."""

NO_CACHE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
"""On what frontends ask for again and again: kept by them alone, and never shown without asking whether
it is still so. What a client sees of it depends on its key."""


_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LONGEST = 1000  # characters of a field: clients know a few tags, and one date
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")


@dataclass(frozen=True)
class Validator:
    """What an answer is known by: its ETag, as the header has it, and the moment since which it is so.

    `modified` is in seconds since the epoch; None where it is not known.
    """

    etag: str
    modified: float | None = None

    @classmethod
    def of(cls, content: bytes, modified: float | None = None) -> "Validator":
        """A strong one: the ETag is a digest of the bytes that are sent."""
        return cls(f'"{_digest(content)}"', modified)

    @classmethod
    def weak(cls, content: bytes, modified: float | None = None) -> "Validator":
        """A weak one, for answers that say the same where `content` is the same."""
        return cls(f'W/"{_digest(content)}"', modified)

    @property
    def headers(self) -> dict[str, str]:
        """`ETag`, and `Last-Modified` where that is known."""
        second = self._second
        dated = {} if second is None else {"Last-Modified": formatdate(second, usegmt=True)}
        return {"ETag": self.etag, **dated}

    def is_known(self, headers: Mapping[str, list[str]]) -> bool:
        """Whether the fields `if-none-match` and `if-modified-since` say that the client has it.

        Tags are compared weakly; where there are any, the date does not count. What is not a date, not
        a list of tags, or very long, says nothing.
        """
        tags = ",".join(headers.get("if-none-match", ())).strip()
        if tags and len(tags) <= _LONGEST:
            return tags == "*" or self._is_one_of(tags)
        dates = headers.get("if-modified-since", ())
        second = self._second
        if tags or len(dates) != 1 or len(dates[0]) > _LONGEST or second is None:
            return False
        try:
            # Exactly, as nginx compares: where the clock was set back, a later date says nothing.
            return second == parsedate_to_datetime(dates[0]).timestamp()
        except (ValueError, OverflowError):
            return False

    def _is_one_of(self, tags: str) -> bool:
        known = re.findall(_TAG, tags) if _TAGS.fullmatch(tags) else []
        return self.etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in known}

    @property
    def _second(self) -> int | None:
        # Rounded up, and not told before that second has come: so two states of one second never have
        # the same date.
        if self.modified is None or (second := math.ceil(self.modified)) > time.time():
            return None
        return second


class Seen:
    """Since when an answer has said what it says: since somebody first got it so, from this process."""

    def __init__(self) -> None:
        self._as_it_was: Validator | None = None

    def as_it_is(self, content: bytes) -> Validator:
        """A weak validator of an answer that says the same where `content` is the same."""
        found = Validator.weak(content, time.time())
        was = self._as_it_was
        if was is None or was.etag != found.etag:
            self._as_it_was = was = found
        return was


def answer(
    request: Request, validator: Validator, content: bytes, media_type: str,
    headers: Mapping[str, str],
) -> Response:  # fmt: skip
    """The content, or 304 for a client that has it; both with the validator's fields and `headers`."""
    said = {**headers, **validator.headers}
    fields = {
        name: request.headers.getlist(name) for name in ("if-none-match", "if-modified-since")
    }
    if validator.is_known(fields):
        return Response(status_code=304, headers=said)
    return Response(content, headers=said, media_type=media_type)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
