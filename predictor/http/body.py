"""Reading a request's body: its type, its encoding and its size are checked before it is decoded."""

from fastapi import Request

from predictor.errors import BodyTooLarge
from predictor.media_type import check_json

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
