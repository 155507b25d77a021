"""What kind of body `/invocations` is sent, by the types and in the words of MLflow's server."""

from typing import Literal

from predictor.errors import UnsupportedMedia
from predictor.media_type import MediaType, check_encoding, shortened

Media = Literal["json", "csv"]

_READ: dict[str, Media] = {"application/json": "json", "text/csv": "csv"}


def media_of(content_type: str | None, encoding: str | None) -> Media:
    """The kind of body. Raises UnsupportedMedia in MLflow's words.

    As everywhere in this service, a body without a type is JSON.
    """
    check_encoding(encoding)
    if not content_type:
        return "json"
    media = MediaType.parse(content_type)
    if media.parameters.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMedia("The scoring server only supports UTF-8")
    if unknown := [name for name in media.parameters if name != "charset"]:
        names = shortened(", ".join(unknown))
        raise UnsupportedMedia(f"Unrecognized content type parameters: {names}.")
    if media.essence not in _READ:
        raise UnsupportedMedia(
            "This predictor only supports the following content types: "
            f"Types: {list(_READ)[::-1]}. Got '{shortened(content_type)}'."
        )
    return _READ[media.essence]
