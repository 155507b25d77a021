"""`GET /events`: a stream of events, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from predictor.access import Access
from predictor.http.conditional import NO_STORE
from predictor.http.middleware import mark_stream
from predictor.openapi.responses import describe_errors
from predictor.operations.journal import Journal, full, iso
from predictor.operations.model import Model
from predictor.settings import Settings

_RETRY_MS = 2000  # before a client reconnects
_HEARTBEAT = format_sse_event(comment="")  # proxies close a stream that is silent for a minute
_HEADERS = {
    **NO_STORE,
    "X-Accel-Buffering": "no",  # otherwise nginx would buffer events
}
_DESCRIPTION = """Server-sent events. First `state`: the serving and the desired version, as in `GET /model`.
Then an event for each change: `swapped`, `stopped_serving`, `load_started`, `load_failed`,
`load_superseded`, `inference_timed_out`, `registry_answered`, `registry_names_none`, `registry_unreachable`,
`registry_refused`, `registry_invalid_response`, `registry_internal`, `cache_not_written`, `approvals_changed`, `shadow_changed`. Each is a
JSON object with `at`, the time. A client that reconnects with `Last-Event-ID` gets the events that it missed or, if they are no longer
kept, `state` again. `?history=true` sends the events that are still kept before the first `state`. With several workers, the events are those of one worker; `worker` is its number."""

_HISTORY = {
    "name": "history",
    "in": "query",
    "required": False,
    "description": "`true`: begin with the events that are still kept.",
    "schema": {"type": "boolean", "default": False},
}


def routes(
    journal: Journal, access: Access, describe: Callable[[], Model], settings: Settings
) -> APIRouter:
    """The route of the event stream. `describe` returns the body of `GET /model`."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/events",
        operation_id="stream_events",
        summary="A stream of events",
        openapi_extra={"parameters": [_HISTORY]},
        description=_DESCRIPTION,
        response_class=Response,
        responses={
            200: {
                "description": "A stream that lasts until either side ends it.",
                "content": {EventSourceResponse.media_type: {"schema": {"type": "string"}}},
            },
            **describe_errors(full(settings.max_event_streams)),
        },
    )
    async def events(request: Request) -> Response:
        def allowed() -> bool:
            return access.allows("/events", request.scope["headers"])

        place = journal.place_of(request.headers.get("last-event-id"))
        history = place is None and request.query_params.get("history") == "true"
        if history:
            place = journal.before_first
        return _Stream(journal, _events(journal, place, allowed, state, state_after=history))

    def state() -> dict[str, Any]:
        return _state(describe())

    return router


class _Stream(EventSourceResponse):
    """The stream of one client. It counts as a reader before its head is sent."""

    def __init__(self, journal: Journal, events: AsyncIterator[bytes]) -> None:
        self._journal = journal
        super().__init__(events, headers=_HEADERS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self._journal.reading():
            mark_stream(scope)
            await super().__call__(scope, receive, send)


async def _events(
    journal: Journal,
    place: int | None,
    allowed: Callable[[], bool],
    state: Callable[[], dict[str, Any]],
    *,
    state_after: bool = False,
) -> AsyncIterator[bytes]:
    """Yield the events after `place`, or the state if `place` is None; then new events and heartbeats.

    With `state_after`, the state comes once after the events so far. The stream ends when the journal closes, or when the client's key is no longer `allowed`.
    """
    yield format_sse_event(retry=_RETRY_MS)
    while True:
        # Taken before the key is checked: the key may be removed while a slow client reads.
        wakeup = journal.wakeup
        if journal.closed or not allowed():
            return
        events = journal.after(place) if place is not None else None
        if events is None or place is None:
            place = journal.last
            yield _event(journal, place, "state", state())
        for number, event in events or ():
            if wakeup.is_set():
                break  # the journal changed meanwhile: check the key again
            place = number
            yield _event(journal, place, event.name, event.payload)
        if state_after and place == journal.last:
            state_after = False
            yield _event(journal, place, "state", state())
        if not await journal.wait(place, wakeup):
            yield _HEARTBEAT


def _state(model: Model) -> dict[str, Any]:
    """The payload of `state`: the body of `GET /model` without its large parts, signature and metrics."""
    described: dict[str, Any] = msgspec.to_builtins(model)
    if serving := described["serving"]:
        described["serving"] = {
            name: value for name, value in serving.items() if name not in {"signature", "metrics"}
        }
    return {**described, "at": iso(time.time())}


def _event(journal: Journal, place: int, name: str, payload: Mapping[str, Any]) -> bytes:
    if journal.worker is not None:
        payload = {**payload, "worker": journal.worker}
    data = msgspec.json.encode(payload).decode()
    return format_sse_event(data_str=data, event=name, id=journal.id_of(place))
