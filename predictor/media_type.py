"""Media types: a `Content-Type` and a `Content-Encoding`, read strictly and in linear time.

The grammar is RFC 9110's, section 8.3.1: `type "/" subtype *( OWS ";" OWS [ name "=" value ] )`, where
a value is a token or a quoted string. What is outside of it is refused, and not repaired: two
readers could understand it in two ways.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from predictor.errors import UnsupportedMedia

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
