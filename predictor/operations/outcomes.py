"""`POST /outcomes`: append what turned out to be true to the record of predictions.

It is imported only if predictions are recorded.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response

from predictor.errors import FieldError, InvalidRecord, OutcomesNotKept, RequestError
from predictor.http.body import read_json_body
from predictor.http.conditional import NO_STORE
from predictor.inference.batcher import Caller
from predictor.log_events import OUTCOMES_NOT_KEPT
from predictor.logs import LogThrottle
from predictor.metrics.recorder import Metrics
from predictor.model.json_text import JsonText
from predictor.model.signature import label_name
from predictor.model.validation import malformed, short_name
from predictor.openapi.examples import Examples
from predictor.openapi.responses import describe_request, describe_responses
from predictor.openapi.schemas import Part, components, doc
from predictor.recording.frames import OutcomesFrame

PATH = "/outcomes"
MAX_OUTCOMES = 10_000  # in one request
_MAX_ID = 200  # characters: a request's id has at most 128, then `#` and a number
_MAX_TEXT = 500  # characters of an outcome
_MAX_TARGETS = 100
_MAX_ERRORS = 100  # in one response
_INTEGERS = 1 << 63
_FUTURE = timedelta(days=1)  # clocks differ; a time far ahead would be the latest for ever
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_FIELDS = ("id", "outcome", "at")
_QUIET_SECONDS = 10.0  # between two log lines
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Value = str | bool | float


class Outcome(msgspec.Struct, frozen=True):
    """What turned out to be true for one prediction."""

    id: Annotated[
        str,
        doc(
            "The prediction's id: that of its request (`X-Request-ID`), in a request with several rows `ID#0`, "
            "`ID#1`, …, in a gRPC stream `ID/0`, `ID/1`, …",
            minLength=1, maxLength=_MAX_ID,
        ),
    ]  # fmt: skip
    outcome: Annotated[
        _Value | list[_Value],
        doc(
            "The class, or the value for a regressor; a list for several targets.",
            examples=["malignant"],
        ),
    ]
    at: Annotated[
        str | None,
        doc(
            "When it was known: RFC 3339, with a time zone. Of several outcomes of one id, the latest counts.",
            format="date-time",
        ),
    ] = None


class Outcomes(msgspec.Struct, frozen=True):
    """Several outcomes. All are kept, or none."""

    outcomes: Annotated[list[Outcome], doc("Up to 10,000.", minItems=1, maxItems=MAX_OUTCOMES)]


class AcceptedOutcomes(msgspec.Struct, frozen=True):
    """The outcomes are on disk."""

    accepted: Annotated[int, doc("How many.")]


def describe(_: Any, __: Examples) -> Part:
    """The bodies of the route."""
    return Part(components(Outcome, Outcomes, AcceptedOutcomes))


def routes(
    keep: Callable[[OutcomesFrame], None], metrics: Metrics, max_body_bytes: int
) -> APIRouter:
    """The route. `keep` puts outcomes into the spool, or raises OutcomesNotKept."""
    router = APIRouter(tags=["outcomes"])
    failures = LogThrottle(_QUIET_SECONDS)

    @router.post(
        PATH,
        operation_id="report_outcomes",
        summary="Report what turned out to be true",
        status_code=HTTPStatus.ACCEPTED,
        openapi_extra=_REQUEST,
        responses=_RESPONSES,
    )
    async def outcomes(request: Request) -> Response:
        """202 once the outcomes are on disk; `trainer outcomes report` joins them with the predictions.

        The service does not look for the predictions: an id that the record does not have is counted in the report.
        """
        caller = Caller.of_context()
        try:
            body = await read_json_body(request, max_body_bytes)
            frame = await asyncio.to_thread(read, body, caller.key, time.time_ns() // 1000)
        except RequestError:
            metrics.outcomes("refused", 1)
            raise
        try:
            await asyncio.to_thread(keep, frame)
        except OutcomesNotKept:
            metrics.outcomes("refused", len(frame.ids))
            if requests := failures.hit():
                OUTCOMES_NOT_KEPT.log(outcomes=len(frame.ids), requests=requests)
            raise
        metrics.outcomes("accepted", len(frame.ids))
        answer = msgspec.json.encode(AcceptedOutcomes(len(frame.ids)))
        return Response(answer, HTTPStatus.ACCEPTED, NO_STORE, "application/json")

    return router


def read(body: bytes, key: str | None, received_at: int) -> OutcomesFrame:
    """The outcomes of a body: one object, or `{"outcomes": [object, …]}`.

    `received_at` (microseconds since the epoch) is the time of those without `at`. Raises MalformedBody, or
    InvalidRecord with every fault, each with its field.
    """
    try:
        parsed = JsonText(body.decode(), _object).whole()
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    faults: list[FieldError] = []
    frame = OutcomesFrame(received_at, key, [], [], [], [])
    for place, each in _each(parsed, faults):
        faults += [FieldError(f"{place}{name}", why) for name, why in _add(each, frame)]
        if len(faults) >= _MAX_ERRORS:
            break
    if faults:
        raise InvalidRecord(faults[:_MAX_ERRORS])
    return frame


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("an object has a field twice")
    return found


def _each(parsed: Any, faults: list[FieldError]) -> list[tuple[str, Any]]:
    """The objects of a body, each with the beginning of its fields' names."""
    if not isinstance(parsed, dict):
        faults.append(
            FieldError("", "expected an object with `id` and `outcome`, or with `outcomes`")
        )
        return []
    if "outcomes" not in parsed:
        return [("", parsed)]
    faults += [
        FieldError(short_name(name), "unknown field beside `outcomes`")
        for name in parsed
        if name != "outcomes"
    ]
    many = parsed["outcomes"]
    if not isinstance(many, list) or not 1 <= len(many) <= MAX_OUTCOMES:
        faults.append(FieldError("outcomes", f"expected a list of 1 to {MAX_OUTCOMES} objects"))
        return []
    found = []
    for number, each in enumerate(many):
        if isinstance(each, dict):
            found.append((f"outcomes[{number}].", each))
        else:
            why = "expected an object with `id` and `outcome`"
            faults.append(FieldError(f"outcomes[{number}]", why))
    return found


def _add(given: dict[str, Any], frame: OutcomesFrame) -> Sequence[tuple[str, str]]:
    """Add one outcome, or return its faults: names of fields, and what is wrong."""
    faults = [(short_name(name), "unknown field") for name in given if name not in _FIELDS]
    id_ = given.get("id")
    if not isinstance(id_, str) or not 1 <= len(id_) <= _MAX_ID or not id_.isprintable():
        faults.append(
            ("id", f"expected the id of a prediction, a text of 1 to {_MAX_ID} characters")
        )
    outcome = _outcome(given.get("outcome"))
    if outcome is None:
        why = f"expected a class (a text of 1 to {_MAX_TEXT} characters, an integer, true or false) or a finite number, "
        faults.append(("outcome", f"{why}or a list of up to {_MAX_TARGETS} of these"))
    at = frame.received_at
    if given.get("at") is not None:
        at = _microseconds(given["at"]) or 0
        if not at:
            faults.append(("at", "expected a time with a zone, such as 2026-11-29T16:30:00Z"))
        elif at > frame.received_at + _FUTURE // timedelta(microseconds=1):
            faults.append(("at", "is in the future"))
    if not faults and outcome is not None:
        frame.ids.append(str(id_))
        frame.outcomes.append(outcome[0])
        frame.types.append(outcome[1])
        frame.at.append(at)
    return faults


def _outcome(value: Any) -> tuple[str, str] | None:
    """The text and the type of an outcome; None for what is not one."""
    if isinstance(value, list):
        found = [_outcome(each) for each in value]
        valid = 1 <= len(found) <= _MAX_TARGETS and all(
            each is not None and each[1] != "list" for each in found
        )
        return (msgspec.json.encode(value).decode(), "list") if valid else None
    if isinstance(value, bool):
        return label_name(value), "boolean"
    if isinstance(value, int):
        return (str(value), "integer") if abs(value) < _INTEGERS else None
    if isinstance(value, float):
        return (repr(value), "number") if math.isfinite(value) else None
    # Half of a pair of UTF-16 is no text.
    if isinstance(value, str) and 1 <= len(value) <= _MAX_TEXT and not _SURROGATES.search(value):
        return value, "text"
    return None


_SURROGATES = re.compile(r"[\ud800-\udfff]")


def _microseconds(text: Any) -> int | None:
    """Microseconds since the epoch; None for what is not a time with a zone after the epoch."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return max(0, since // timedelta(microseconds=1)) or None


_REQUEST: dict[str, Any] = describe_request(Outcomes)
_REQUEST["requestBody"]["content"]["application/json"] = {
    "schema": {
        "oneOf": [
            {"$ref": "#/components/schemas/Outcome"},
            {"$ref": "#/components/schemas/Outcomes"},
        ]
    },
    "examples": {
        "one": {
            "summary": "One outcome",
            "value": {"id": "visit-4711", "outcome": "malignant", "at": "2026-11-29T16:30:00Z"},
        },
        "several": {
            "summary": "Several outcomes",
            "value": {
                "outcomes": [
                    {"id": "night-run#0", "outcome": "benign"},
                    {"id": "night-run#1", "outcome": "malignant"},
                ]
            },
        },
    },
}
_EXAMPLE = InvalidRecord([FieldError("outcomes[0].id", "expected the id of a prediction, …")])
_RESPONSES = describe_responses(
    AcceptedOutcomes, 400, 413, 415, _EXAMPLE, OutcomesNotKept(), description="Kept."
)
_RESPONSES[202] = _RESPONSES.pop(200)
