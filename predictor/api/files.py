"""Files of a page: read once, and answered with the headers that keep a page to itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

from predictor.http.conditional import Validator, answer

_TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip
_HSTS_SECONDS = 86_400  # short, because a browser takes it for every port of the host
# Beside what every answer has.
HEADERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class File:
    """A file as it is answered."""

    content: bytes
    media_type: str
    headers: Mapping[str, str]
    validator: Validator

    @classmethod
    def read(cls, path: Path, policy: str, *, https: bool) -> "File":
        """A file of a page with this Content-Security-Policy; `name.gz` is sent as it is, for `name`."""
        content = path.read_bytes()
        headers = {**HEADERS, "Content-Security-Policy": policy}
        if https:
            headers["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}"
        if path.suffix == ".gz":
            headers["Content-Encoding"] = "gzip"
        media_type = _TYPES[Path(path.name.removesuffix(".gz")).suffix]
        return cls(content, media_type, headers, Validator.of(content))

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        return answer(request, self.validator, self.content, self.media_type, self.headers)
