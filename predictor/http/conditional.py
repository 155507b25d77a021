"""ETags and conditional GET (RFC 9110, section 13), and the header fields that responses share."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from fastapi import Request, Response

NOSNIFF = ("X-Content-Type-Options", "nosniff")
"""For every response: browsers must not guess another type."""

NO_STORE = {"Cache-Control": "no-store"}
"""For predictions and metrics: no browser and no proxy keeps a copy."""

NO_CACHE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
"""For what frontends poll: only the browser keeps a copy, and it revalidates before each use.

The content depends on the client's key.
"""

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_MAX_LENGTH = 1000  # characters of If-None-Match: clients know a few tags
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")


def strong_etag(content: bytes) -> str:
    """The ETag of a response with exactly these bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def weak_etag(content: bytes) -> str:
    """The ETag of a response that means the same while `content` is the same."""
    return f"W/{strong_etag(content)}"


def matches(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether these values of `If-None-Match` contain the ETag, compared weakly.

    Values that are not a list of tags, or are longer than 1,000 characters, match nothing.
    """
    text = ",".join(if_none_match).strip()
    if text == "*":
        return True
    if len(text) > _MAX_LENGTH or not _TAGS.fullmatch(text):
        return False
    return etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in re.findall(_TAG, text)}


def conditional_response(
    request: Request, etag: str, content: bytes, media_type: str, headers: Mapping[str, str]
) -> Response:
    """The content, or 304 if the client has it already. Both have the ETag and `headers`."""
    headers = {**headers, "ETag": etag}
    if matches(etag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
