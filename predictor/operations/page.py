"""The page, the operators' page and the API documentation: their files, with headers that isolate them from other sites."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from predictor.http.conditional import conditional_response, strong_etag

_TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip
# Comments, indentation, and the spaces of style sheets: a fifth of the bytes. Lines keep their numbers; no text of ours has
# several lines, and none in a style sheet has such a space.
_NOT_SENT = {
    ".html": re.compile(rb"(?m)^[ \t]+"),
    ".js": re.compile(rb"(?m)(?:^|[ \t])[ \t]*//(?: .*)?$|^[ \t]+"),
    ".css": re.compile(rb"(?m)/\*.*?\*/|^[ \t]+|(?<=[:;,{]) (?=\S)| (?=[{}])"),
}
_HSTS_SECONDS = 86_400  # short, because browsers apply it to every port of the host
# In addition to the headers of every response.
HEADERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class File:
    """A file with its headers and its ETag."""

    content: bytes
    media_type: str
    headers: Mapping[str, str]
    etag: str

    @classmethod
    def read(cls, path: Path, policy: str, *, https: bool) -> "File":
        """Read a file of a page with this Content-Security-Policy. `name.gz` is sent compressed, as `name`."""
        content = path.read_bytes()
        if path.suffix in _NOT_SENT:
            content = _NOT_SENT[path.suffix].sub(b"", content)
        headers = {**HEADERS, "Content-Security-Policy": policy}
        if https:
            headers["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}"
        if path.suffix == ".gz":
            headers["Content-Encoding"] = "gzip"
        media_type = _TYPES[Path(path.name.removesuffix(".gz")).suffix]
        return cls(content, media_type, headers, strong_etag(content))

    def response(self, request: Request) -> Response:
        """The file, or 304 if the browser has it already."""
        return conditional_response(request, self.etag, self.content, self.media_type, self.headers)


FOLDER = Path(__file__).parent.parent / "web"
DOCS = FOLDER / "docs"
OPS = FOLDER / "ops"
PAGE = "index.html"
ASSETS = (
    "page.css", "parts.css", "icon.svg", "page.js", "access.js", "answer.js", "api.js", "assign.js", "axis.js", "batch.js", "card.js",
    "cells.js", "code.js", "consultation.js", "curves.js", "decimals.js", "drivers.js", "elements.js", "english.js", "features.js",
    "field.js", "form.js", "german.js", "handout.js", "head.js", "history.js", "intake.js", "list.js", "numbers.js", "picture.js",
    "predictions.js", "purpose.js", "record.js", "reference.js", "report.js", "session.js", "sheet.js", "sse.js", "status.js", "steps.js", "turning.js",
    "watch.js", "whatif.js", "words.js", "worth.js",
)  # fmt: skip
DOCS_ASSETS = ("docs.js", "docs.css", "swagger-ui.css.gz", "swagger-ui-bundle.js.gz")
OPS_ASSETS = (
    "ops.css", "ops.js", "choices.js", "commands.js", "english.js", "exposition.js", "follow.js", "german.js", "happened.js",
    "moments.js", "samples.js", "show.js", "spark.js", "verdict.js", "words.js",
)  # fmt: skip

_OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A record may be a patient's: only the page's own scripts run, and they can send it to the page's own
# origin only. Trusted types prevent text from being parsed as HTML.
POLICY = f"{_OWN}; require-trusted-types-for 'script'; trusted-types 'none'"
# Without trusted types, because Swagger UI renders the document's Markdown as HTML.
DOCS_POLICY = _OWN


def routes(*, https: bool) -> APIRouter:
    """The routes of all pages. Reads their files."""
    router = APIRouter(include_in_schema=False)

    def read(path: Path, policy: str) -> File:
        return File.read(path, policy, https=https)

    own = {name: read(FOLDER / name, POLICY) for name in ASSETS}
    _add(router, "/", "/web/{name}", read(FOLDER / PAGE, POLICY), own)
    docs = {name.removesuffix(".gz"): read(DOCS / name, DOCS_POLICY) for name in DOCS_ASSETS}
    _add(router, "/docs", "/web/docs/{name}", read(DOCS / PAGE, DOCS_POLICY), docs)
    ops = {name: read(OPS / name, POLICY) for name in OPS_ASSETS}
    _add(router, "/ops", "/web/ops/{name}", read(OPS / PAGE, POLICY), ops)
    return router


def _add(router: APIRouter, path: str, below: str, page: File, files: dict[str, File]) -> None:
    @router.get(path)
    async def index(request: Request) -> Response:
        return page.response(request)

    @router.get(below)
    async def asset(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name].response(request)
