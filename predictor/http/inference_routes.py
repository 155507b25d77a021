"""Routes of inference: one table from a path to a protocol, for FastAPI and for the fast lane.

A route chooses the protocol of a request by its path, query and header fields. Both ways give the body to
the same protocol, so they have the same responses.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers, QueryParams
from starlette.routing import compile_path

from predictor.http.body import read_body
from predictor.http.conditional import NO_STORE
from predictor.http.problems import ErrorFormat
from predictor.inference.batcher import Batcher
from predictor.inference.protocol import InferenceProtocol, Reply, Result


@dataclass(frozen=True)
class RequestHead:
    """What chooses a protocol: parameters of the path, the query, and header fields."""

    path_params: Mapping[str, str]
    query: QueryParams
    headers: Headers

    def field(self, name: str) -> str | None:
        """The value of a header field; several are one list with commas (RFC 9110, section 5.3)."""
        return ", ".join(self.headers.getlist(name)) or None


@dataclass(frozen=True)
class InferenceRoute:
    """A path that takes POST, such as `/v2/models/{model}/infer`.

    `choose` gives the protocol of a request, or raises RequestError. For equal arguments it gives the same
    object: requests of one tick are grouped by it. `description` are the arguments of FastAPI's decorator.
    """

    path: str
    choose: Callable[[RequestHead], InferenceProtocol]
    error_format: ErrorFormat | None = None
    description: Mapping[str, Any] = field(default_factory=dict)


class InferenceRoutes:
    """The table of all routes."""

    def __init__(self, routes: Iterable[InferenceRoute]) -> None:
        self._routes = [(compile_path(each.path)[0], each) for each in routes]

    def __iter__(self) -> Iterator[InferenceRoute]:
        """Each route."""
        return (route for _, route in self._routes)

    def find(
        self, path: bytes, query: bytes, fields: Sequence[tuple[bytes, bytes]]
    ) -> tuple[InferenceRoute, InferenceProtocol] | None:
        """The route of a path as it was sent, and the protocol; None for another path.

        Names of `fields` are in lower case. Raises RequestError.
        """
        for pattern, route in self._routes:
            if match := pattern.match(unquote(path.decode("ascii"))):
                raw = [*fields]
                head = RequestHead(match.groupdict(), QueryParams(query), Headers(raw=raw))
                return route, route.choose(head)
        return None


def add_route(api: FastAPI, route: InferenceRoute, batcher: Batcher, max_bytes: int) -> None:
    """Let FastAPI take the requests of a route that do not take the fast lane."""

    async def infer(request: Request) -> Response:
        head = RequestHead(request.path_params, request.query_params, request.headers)
        protocol = route.choose(head)
        return response(await batcher.infer(protocol, await read_body(request, max_bytes)))

    api.post(route.path, **route.description)(infer)


def response(result: Result) -> Response:
    """The response with a result that is no error."""
    if isinstance(result, Reply):
        headers = {**NO_STORE, **dict(result.headers)}
        return Response(result.body, headers=headers, media_type=result.media_type)
    return Response(result, headers=NO_STORE, media_type="application/json")
