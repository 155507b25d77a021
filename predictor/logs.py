"""Logging: JSON lines on stderr, or coloured lines on a terminal, also for the libraries' log records."""

import asyncio
import itertools
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import structlog

from approvals.standing import Standing
from predictor import events, log_events
from predictor.errors import RegistryOutcome
from predictor.model_version import ModelVersion


def set_up(level: str, **always: int) -> None:
    """Send structlog's and the standard library's records to stderr in one form.

    Every line has the fields `always`, such as a worker's number.
    """

    def add_fields(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
        return {**line, **always}

    shared: list[Any] = [
        add_fields,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(without_messages),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer()],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    _restrict_libraries()


def _renderer() -> Any:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer()


def _restrict_libraries() -> None:
    # These log every request and job, which metrics count already. APScheduler also warns of each poll
    # that is skipped while the previous one waits for the registry. grpcio quotes the method of a
    # cancelled call, which is text of a client.
    for chatty in ("httpx", "httpcore", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # A poll that is cancelled before its start cannot suppress the error itself.
    logging.getLogger("apscheduler.executors.default").addFilter(_is_no_cancellation)
    logging.getLogger("asyncio").addFilter(_without_arguments)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _without_arguments(record: logging.LogRecord) -> bool:
    """Replace the event loop's message about a failed callback, because it quotes the arguments."""
    if record.levelno >= logging.ERROR:
        record.msg, record.args = "callback_failed", ()
    return True


_REGISTRY_FAILED: dict[RegistryOutcome, log_events.LogEvent] = {
    "unreachable": log_events.REGISTRY_UNREACHABLE,
    "refused": log_events.REGISTRY_REFUSED,
    "invalid_response": log_events.REGISTRY_INVALID_RESPONSE,
    "internal": log_events.REGISTRY_INTERNAL,
}


def write(event: events.Event) -> None:
    """Log the line of an event. Events without a line are ignored."""
    match event:
        case events.RegistryAnswered(None, True, no_version_reason):
            log_events.REGISTRY_NAMES_NONE.log(reason=no_version_reason)
        case events.RegistryAnswered(aspired, True):
            log_events.REGISTRY_ANSWERED.log(**_role("desired", aspired))
        case events.RegistryFailed(outcome, reason, serving, first, cause):
            _REGISTRY_FAILED[outcome].log(
                again=not first, reason=reason, **_role("serving", serving), exc_info=cause
            )
        case events.CacheFailed(serving, reason):
            log_events.CACHE_NOT_WRITTEN.log(**_version(serving), reason=reason)
        case events.KeysRead(variable, keys):
            log_events.KEYS_READ.log(variable=variable, keys=keys)
        case events.KeysNotRead(variable, reason, first):
            log_events.KEYS_NOT_READ.log(again=not first, variable=variable, reason=reason)
        case events.ApprovalsChanged(desired, serving) if desired or serving:
            log_events.APPROVALS_CHANGED.log(
                **_approvals("serving", serving), **_approvals("desired", desired)
            )
        case events.ShadowChanged():
            _write_shadow(event)
        case events.InferenceTimedOut(version, times):
            log_events.INFERENCE_TIMED_OUT.log(**_version(version), times=times)
        case _:
            _write_load(event)


def _write_load(event: events.Event) -> None:
    match event:
        case events.LoadStarted(version):
            log_events.LOAD_STARTED.log(**_version(version))
        case events.LoadSuperseded(version):
            log_events.LOAD_SUPERSEDED.log(**_version(version))
        case events.LoadFailed(version, stage, reason, attempts, retry_seconds, serving):
            log_events.LOAD_FAILED.log(
                **_version(version), stage=stage, reason=reason, attempts=attempts,
                retry_seconds=retry_seconds, serving=serving.version if serving else None,
            )  # fmt: skip
        case events.Swapped(previous, None, reason):
            log_events.STOPPED_SERVING.log(reason=reason, **_version(previous))
        case events.Swapped(previous, serving, reason, load_seconds):
            log_events.SWAPPED.log(
                **_version(serving), reason=reason, previous=previous.version if previous else None,
                load_seconds=round(load_seconds, 4),
            )  # fmt: skip


def _write_shadow(event: events.ShadowChanged) -> None:
    if event.state == "failed":
        log_events.SHADOW_FAILED.log(reason=event.reason, version=event.version)
    else:
        log_events.SHADOW_CHANGED.log(state=event.state, reason=event.reason, version=event.version)


def _version(version: ModelVersion | None) -> dict[str, Any]:
    return {"model_name": version.name, "model_version": version.version} if version else {}


def _role(role: str, version: ModelVersion | None) -> dict[str, Any]:
    """The fields of an event about one version; `role` is the field of its number."""
    return {role: version.version, "model_name": version.name} if version else {role: None}


def _approvals(role: str, found: tuple[ModelVersion, Standing] | None) -> dict[str, Any]:
    """The fields of the approvals of one version, without its name, which is the same for each role."""
    version, summary = (found[0].version, found[1].summary) if found else (None, None)
    return {role: version, f"{role}_approvals": summary}


class LogThrottle:
    """Limits log lines to one in `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._events = 0
        self._quiet_until = float("-inf")

    def hit(self) -> int:
        """Count an event. Return the number of events since the last log line, or 0 while suppressed."""
        self._events += 1
        now = self._clock()
        if now < self._quiet_until:
            return 0
        events, self._events = self._events, 0
        self._quiet_until = now + self._seconds
        return events


_MAX_EXCEPTIONS = 10  # of one chain or group

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def without_messages(exc_info: ExcInfo) -> str:
    """The frames and types of an exception and its causes, the first cause first."""
    shown = [*itertools.islice(_chain(exc_info[1]), _MAX_EXCEPTIONS)]
    return "\n".join(_one(error) for error in reversed(shown))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, the exceptions of its group, and its causes."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _chain(each)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _chain(before)


def _one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    return f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}"
