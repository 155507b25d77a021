"""What kind of body `/invocations` is sent, read from Content-Type as MLflow's server reads it."""

from typing import Literal

from predictor.errors import UnsupportedMedia

Media = Literal["json", "csv"]

_READ: dict[str, Media] = {"application/json": "json", "text/csv": "csv"}


def media_of(content_type: str | None, encoding: str | None) -> Media:
    """The kind of body. Raises UnsupportedMedia in MLflow's words.

    As everywhere in this service, a body without a type is JSON.
    """
    if encoding not in (None, "", "identity"):
        raise UnsupportedMedia(f"Content-Encoding {encoding} is not read; send the body as it is")
    if content_type is None:
        return "json"
    kind, *parameters = map(str.strip, content_type.split(";"))
    given = {name: value for name, _, value in (each.partition("=") for each in parameters)}
    if given.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMedia("The scoring server only supports UTF-8")
    if unknown := [name for name in given if name != "charset"]:
        raise UnsupportedMedia(f"Unrecognized content type parameters: {', '.join(unknown)}.")
    if kind not in _READ:
        raise UnsupportedMedia(
            "This predictor only supports the following content types: "
            f"Types: {list(_READ)[::-1]}. Got '{content_type}'."
        )
    return _READ[kind]
