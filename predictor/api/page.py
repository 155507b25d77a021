"""`/`, `/docs` and `/web/…`: the demo page, the API's documentation, and nothing that they do not name."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from predictor.api.files import File
from predictor.service import Service

FOLDER = Path(__file__).parent.parent / "web"
DOCS = FOLDER / "docs"
PAGE = "index.html"
ASSETS = (
    "page.css", "parts.css", "icon.svg", "page.js", "access.js", "answer.js", "api.js", "batch.js",
    "cells.js", "consultation.js", "decimals.js", "drivers.js", "elements.js", "features.js", "field.js", "form.js",
    "head.js", "intake.js", "list.js", "numbers.js", "picture.js", "predictions.js", "record.js",
    "sheet.js", "sse.js", "standing.js", "watch.js",
)  # fmt: skip
DOCS_ASSETS = ("docs.js", "swagger-ui.css.gz", "swagger-ui-bundle.js.gz")

_OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A record may be a patient's: the page sends it to its own origin, by its own scripts, and
# nowhere else. Trusted types refuse text that would be read as HTML.
POLICY = f"{_OWN}; require-trusted-types-for 'script'; trusted-types 'none'"
# Swagger UI writes the document's Markdown as HTML.
DOCS_POLICY = _OWN


def routes(service: Service) -> APIRouter:
    """The routes of both pages. Their files are read here, once."""
    router = APIRouter(include_in_schema=False)
    https = service.settings.tls_certificate is not None

    def read(path: Path, policy: str) -> File:
        return File.read(path, policy, https=https)

    own = {name: read(FOLDER / name, POLICY) for name in ASSETS}
    _add(router, "/", "/web/{name}", read(FOLDER / PAGE, POLICY), own)
    docs = {name.removesuffix(".gz"): read(DOCS / name, DOCS_POLICY) for name in DOCS_ASSETS}
    _add(router, "/docs", "/web/docs/{name}", read(DOCS / PAGE, DOCS_POLICY), docs)
    return router


def _add(router: APIRouter, path: str, below: str, page: File, files: dict[str, File]) -> None:
    @router.get(path)
    async def index(request: Request) -> Response:
        return page.answer(request)

    @router.get(below)
    async def asset(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name].answer(request)
