"""Cors: pages of the origins that a setting names may ask from a browser; all others may not.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from http import HTTPStatus
from types import SimpleNamespace

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from predictor.http import problems
from predictor.http.instrument import App, Receive, Scope, Send

_PREFLIGHT = SimpleNamespace(path="preflight")  # what metrics call it, as if it were a route
_ASKED_WITH = (
    "Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "traceparent", "tracestate",
    "Last-Event-ID", "If-None-Match", "If-Modified-Since",
)  # fmt: skip
_READ = ("X-Request-ID", "Retry-After", "WWW-Authenticate", "ETag")


class Cors(CORSMiddleware):
    """Starlette's, with refusals in the one shape of errors, and preflights counted by themselves.

    A preflight needs no key, because a browser sends none with it. Cookies are not allowed: a key is
    sent by the page that was given one, and by no other.
    """

    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "HEAD", "POST"), allow_headers=_ASKED_WITH,
            expose_headers=_READ,
        )  # fmt: skip
        # https://wicg.github.io/private-network-access/: a browser asks whether a page of the Internet
        # may reach this network. The origins that are allowed may.
        self.allow_private_network = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            asked = Headers(scope=scope)
            if "origin" in asked and "access-control-request-method" in asked:
                scope["route"] = _PREFLIGHT
        await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser may send, or a problem document that says what it may not."""
        response = super().preflight_response(request_headers)
        allowed = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        if response.status_code == HTTPStatus.OK:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
        detail = (
            f"{bytes(response.body).decode()}; PREDICTOR_CORS_ORIGINS names whose pages may ask"
        )
        return problems.problem(HTTPStatus.BAD_REQUEST, detail, allowed)
