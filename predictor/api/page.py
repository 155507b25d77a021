"""`/` and `/web/…`: the demo page, and nothing that it does not name."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from predictor.service import Service

FOLDER = Path(__file__).parent.parent / "web"
PAGE = "index.html"
ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "api.js": "text/javascript",
    "elements.js": "text/javascript",
    "form.js": "text/javascript",
    "record.js": "text/javascript",
    "answer.js": "text/javascript",
    "serving.js": "text/javascript",
    "command.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    # A record may be a patient's: the page sends it to its own origin, by its own scripts, and
    # nowhere else. Trusted types refuse text that would be read as HTML.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def routes(_: Service) -> APIRouter:
    """The routes of the demo page. Its files are read here, once."""
    router = APIRouter(include_in_schema=False)
    page = _read(PAGE, "text/html")
    assets = {name: _read(name, media_type) for name, media_type in ASSETS.items()}

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _answer(request, page)

    @router.api_route("/web/{name}", methods=["GET", "HEAD"])
    async def asset(request: Request, name: str) -> Response:
        if name not in assets:
            raise HTTPException(404)
        return _answer(request, assets[name])

    return router


def _read(name: str, media_type: str) -> _File:
    content = (FOLDER / name).read_bytes()
    return _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(request: Request, file: _File) -> Response:
    headers = {**HEADERS, "ETag": file.etag}
    if request.headers.get("If-None-Match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
