"""Read a request's body: check its type, encoding and size before anything decodes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from predictor.errors import BodyTooLarge, UnsupportedMedia

_MAX_TYPE = 1000  # characters of a Content-Type: real ones have fewer than 100
_MAX_QUOTED = 100  # characters of a client's text in an error
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
# Possessive quantifiers (`*+`): the time is linear in the length.
_ESSENCE = re.compile(rf"[ \t]*+({_NAME}/{_NAME})")
_PARAMETER = re.compile(rf"[ \t]*+;[ \t]*+(?:({_NAME})=({_NAME}|{_QUOTED}))?+")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class MediaType:
    """A media type. `essence` is `type/subtype`; it and the parameters' names are in lower case."""

    essence: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """Parse a `Content-Type`. Raises UnsupportedMedia if it is malformed or repeats a parameter."""
        found = _ESSENCE.match(text) if len(text) <= _MAX_TYPE else None
        if found is None:
            raise _refused(text)
        parameters: dict[str, str] = {}
        end = found.end()
        while parameter := _PARAMETER.match(text, end):
            end = parameter.end()
            name, value = parameter.groups()
            if name is None:
                continue
            if name.lower() in parameters:
                raise _refused(text)
            if value.startswith('"'):
                value = _ESCAPED.sub(r"\1", value[1:-1])
            parameters[name.lower()] = value
        if text[end:].strip(" \t"):
            raise _refused(text)
        return cls(found[1].lower(), parameters)


def _refused(text: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        f"Content-Type {shortened(text)} is not a media type; send one such as application/json"
    )


def check_json(content_type: str | None, encoding: str | None) -> None:
    """Raise UnsupportedMedia unless a body is JSON in UTF-8, not encoded. The type may be missing."""
    check_encoding(encoding)
    if not content_type or content_type == "application/json":
        return
    media = MediaType.parse(content_type)
    kind = media.essence
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise UnsupportedMedia(
            f"Content-Type {shortened(kind)} is not supported; send application/json"
        )
    if media.parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMedia("only UTF-8 is supported; send Content-Type: application/json")


def check_encoding(encoding: str | None) -> None:
    """Raise UnsupportedMedia for a compressed or otherwise encoded body."""
    if encoding and encoding.lower() != "identity":
        raise UnsupportedMedia(
            f"Content-Encoding {shortened(encoding)} is not supported; send the body as it is"
        )


def shortened(text: str) -> str:
    """A client's text for a message: at most 100 characters."""
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


_SETTING = "PREDICTOR_MAX_BODY_BYTES"


async def read_json_body(request: Request, limit: int, setting: str | None = _SETTING) -> bytes:
    """The bytes of a JSON body. Raises UnsupportedMedia, and BodyTooLarge as `read_body` does."""
    check_json(content_type(request), encoding(request))
    return await read_body(request, limit, setting)


async def read_body(request: Request, limit: int, setting: str | None = _SETTING) -> bytes:
    """The bytes of a body of any type. Raises BodyTooLarge for more than `limit` bytes.

    `setting` is the variable with the limit; None if it is fixed.
    """
    # Python parses no integer of thousands of digits, and a length may begin with many zeros.
    length = request.headers.get("content-length", "").lstrip("0")
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(limit, setting)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit, setting)
        chunks.append(chunk)
    return b"".join(chunks)


def content_type(request: Request) -> str | None:
    """The `Content-Type`, or None. Two of them become a list, which is not a media type."""
    return _field(request, "content-type")


def encoding(request: Request) -> str | None:
    """The `Content-Encoding`, or None."""
    return _field(request, "content-encoding")


def _field(request: Request, name: str) -> str | None:
    # RFC 9110, section 5.3: fields of the same name are one list with commas.
    return ", ".join(request.headers.getlist(name)) or None
