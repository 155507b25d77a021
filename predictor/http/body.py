"""Reading a request's body: its type, its encoding and its size are checked before it is decoded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from predictor.errors import BodyTooLarge, UnsupportedMedia

_LONGEST = 1000  # characters of a Content-Type: real ones have fewer than 100
_REPEATED = 100  # characters of a client's own text that an error repeats
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
# Possessive throughout (`*+`): nothing is tried twice, so the time is linear in the length.
_ESSENCE = re.compile(rf"[ \t]*+({_NAME}/{_NAME})")
_PARAMETER = re.compile(rf"[ \t]*+;[ \t]*+(?:({_NAME})=({_NAME}|{_QUOTED}))?+")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class MediaType:
    """A media type. `essence` is `type/subtype`; it and the names are in lower case, values as sent."""

    essence: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """Read a `Content-Type`. Raises UnsupportedMedia for what is none, or has a parameter twice."""
        found = _ESSENCE.match(text) if len(text) <= _LONGEST else None
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
    """Raise UnsupportedMedia unless a body is JSON in UTF-8, as it is. Without a type it is taken for that."""
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
    """Raise UnsupportedMedia for a body that is not sent as it is."""
    if encoding and encoding.lower() != "identity":
        raise UnsupportedMedia(
            f"Content-Encoding {shortened(encoding)} is not supported; send the body as it is"
        )


def shortened(text: str) -> str:
    """A client's own text, for a message: at most 100 characters of it."""
    return text if len(text) <= _REPEATED else f"{text[:_REPEATED]}…"


_SETTING = "PREDICTOR_MAX_BODY_BYTES"


async def read_json_body(request: Request, limit: int, setting: str | None = _SETTING) -> bytes:
    """The bytes of a JSON body. Raises UnsupportedMedia, else as `read_body`."""
    check_json(content_type(request), encoding(request))
    return await read_body(request, limit, setting)


async def read_body(request: Request, limit: int, setting: str | None = _SETTING) -> bytes:
    """The bytes of a body, whatever they are. Raises BodyTooLarge for more than `limit`.

    `setting` is where the limit comes from; None for a fixed one.
    """
    # Python reads no integer of thousands of digits, and a length may begin with as many zeros.
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
    """The `Content-Type`; None for none. Given twice, it is a list, which is no media type."""
    return _field(request, "content-type")


def encoding(request: Request) -> str | None:
    """The `Content-Encoding`; None for none."""
    return _field(request, "content-encoding")


def _field(request: Request, name: str) -> str | None:
    # RFC 9110, section 5.3: several fields of a name are one, with commas between.
    return ", ".join(request.headers.getlist(name)) or None
