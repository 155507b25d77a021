"""Reading a request's body: its type, its encoding and its size are checked before it is decoded."""

from email.message import Message

from fastapi import Request

from predictor.errors import BodyTooLarge, UnsupportedMedia


async def read_json_body(request: Request, most: int) -> bytes:
    """The bytes of a JSON body of at most `most` bytes. Raises UnsupportedMedia or BodyTooLarge."""
    check_media(request.headers.get("content-type"), request.headers.get("content-encoding"))
    return await read_body(request, most)


async def read_body(request: Request, most: int) -> bytes:
    """The bytes of a body of at most `most` bytes, whatever they are. Raises BodyTooLarge."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise BodyTooLarge(most)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise BodyTooLarge(most)
        chunks.append(chunk)
    return b"".join(chunks)


def check_encoding(encoding: str | None) -> None:
    """Raise UnsupportedMedia for a body that is not sent as it is."""
    if encoding not in (None, "", "identity"):
        raise UnsupportedMedia(f"Content-Encoding {encoding} is not read; send the body as it is")


def check_media(content_type: str | None, encoding: str | None) -> None:
    """Raise UnsupportedMedia unless it is JSON in UTF-8, as it is."""
    check_encoding(encoding)
    if content_type in (None, "application/json"):
        return
    message = Message()
    message["Content-Type"] = content_type
    kind = message.get_content_type()
    charset = message.get_content_charset("utf-8")
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise UnsupportedMedia(f"Content-Type {kind} is not read; send application/json")
    if charset not in {"utf-8", "utf8"}:
        raise UnsupportedMedia("only UTF-8 is read; send Content-Type: application/json")
