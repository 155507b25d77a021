"""Every log event of the service, declared once. The code logs them, and docs/logs.md is generated from them."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]
_log = structlog.get_logger()
_ALWAYS = {"exc_info", "request_id"}  # fields that any line may have
_VERSION = ("model_name", "model_version")
_REGISTRY = ("reason", "serving", "model_name")


@dataclass(frozen=True)
class LogEvent:
    """One kind of log line: its name, level and fields, when it is logged, and what an operator does then.

    `repeated` is the level of further lines while the same condition lasts.
    """

    name: str
    level: Level
    when: str
    fields: tuple[str, ...] = ()
    action: str = "nothing"
    repeated: Level | None = None

    def log(self, *, again: bool = False, **fields: Any) -> None:
        """Write the line; `again` selects the level of repetitions. Warns of an undeclared field."""
        if undeclared := fields.keys() - _ALWAYS - set(self.fields):
            warnings.warn(f"{self.name} declares no {', '.join(undeclared)}", stacklevel=2)
        level = self.repeated if again and self.repeated else self.level
        getattr(_log, level)(self.name, **fields)


REGISTRY_ANSWERED = LogEvent(
    "registry_answered", "info", "the registry names another version, or answers again after a failure",
    ("desired", "model_name"),
)  # fmt: skip
REGISTRY_NAMES_NONE = LogEvent(
    "registry_names_none", "warning", "the registry names no version", ("reason",),
    "promote a version, unless this is intended",
)  # fmt: skip
REGISTRY_UNREACHABLE = LogEvent(
    "registry_unreachable", "warning", "the registry does not answer; the serving version stays", _REGISTRY,
    "check MLflow and the network", "debug",
)  # fmt: skip
REGISTRY_REFUSED = LogEvent(
    "registry_refused", "warning", "the registry refuses the credentials; the serving version stays", _REGISTRY,
    "check MLflow's variables for credentials", "debug",
)  # fmt: skip
REGISTRY_INVALID_RESPONSE = LogEvent(
    "registry_invalid_response", "warning",
    "the response is not from an MLflow registry; the serving version stays", _REGISTRY,
    "check the server at that address; it may be a proxy with a login page", "debug",
)  # fmt: skip
REGISTRY_INTERNAL = LogEvent(
    "registry_internal", "warning",
    "a bug of the service ended a poll; its traceback is in the line; the serving version stays", _REGISTRY,
    "report it with the traceback", "debug",
)  # fmt: skip
TOKEN_READ = LogEvent(
    "token_read", "info",
    "the token of `MLFLOW_TRACKING_TOKEN_FILE` changed, or its file can be read again after a failure",
)  # fmt: skip
TOKEN_NOT_READ = LogEvent(
    "token_not_read", "error", "the file of `MLFLOW_TRACKING_TOKEN_FILE` cannot be used; the previous token is sent",
    ("reason",), "repair the file", "debug",
)  # fmt: skip
RUN_NOT_READ = LogEvent(
    "run_not_read", "warning", "a version's metrics could not be read; it loads without them",
    ("model_version", "reason"), "nothing, unless `/model` should show them",
)  # fmt: skip
LOAD_STARTED = LogEvent(
    "load_started", "info", "the service fetches, builds and checks a version", _VERSION
)
LOAD_SUPERSEDED = LogEvent(
    "load_superseded", "info", "the registry named another version before this one was ready", _VERSION
)  # fmt: skip
LOAD_FAILED = LogEvent(
    "load_failed", "error",
    "a version could not be loaded; the service tries again, and the serving version stays",
    (*_VERSION, "stage", "reason", "attempts", "retry_seconds", "serving"),
    "read the reason; repair or demote the version; for the stage `approval`, approve it",
)  # fmt: skip
FLEET_CONNECTED = LogEvent(
    "fleet_connected", "info", "the service is connected to a NATS server of `PREDICTOR_NATS_URL`", ("server",)
)  # fmt: skip
FLEET_NOT_CONNECTED = LogEvent(
    "fleet_not_connected", "warning",
    "no connection to a NATS server; the registry is polled on schedule, and nothing else changes", ("server", "reason"),
    "check the server, the network and the file of `PREDICTOR_NATS_CREDENTIALS_FILE`", "debug",
)  # fmt: skip
FLEET_STATUS_NOT_WRITTEN = LogEvent(
    "fleet_status_not_written", "warning", "`trainer fleet` does not show this replica: its status could not be written",
    ("reason",), "check that the NATS server has JetStream, and the permissions of this user", "debug",
)  # fmt: skip
RECORDS_WRITTEN = LogEvent(
    "records_written", "debug", "recorded predictions were written as Parquet", ("rows",)
)  # fmt: skip
RECORDS_NOT_WRITTEN = LogEvent(
    "records_not_written", "error",
    "recorded predictions wait in the spool, because the folder or store of `PREDICTOR_RECORD_URI` cannot be written",
    ("reason",), "repair it before the spool is full (`PREDICTOR_RECORD_MAX_BYTES`)", "debug",
)  # fmt: skip
RECORDS_NOT_CLOSED = LogEvent(
    "records_not_closed", "error",
    "a file of the spool cannot be renamed; if it was removed, its rows are lost; otherwise the writer takes it over",
    ("file", "bytes", "reason"), "repair the spool's folder; let nobody but the service write in it",
)  # fmt: skip
RECORDS_RECOVERED = LogEvent(
    "records_recovered", "warning",
    "a process was killed, and the writer took over its file; `lost_bytes` belong to a response that was not sent",
    ("file", "bytes", "lost_bytes"),
)  # fmt: skip
RECORDS_UNREADABLE = LogEvent(
    "records_unreadable", "error", "a file of the spool cannot be read; it was renamed and stays in the spool's folder",
    ("file", "reason"), "report it with the reason; the disk may be faulty",
)  # fmt: skip
RECORDS_INTERNAL = LogEvent(
    "records_internal", "error",
    "a bug of the service prevented a record; its traceback is in the line; the prediction counts as dropped or refused",
    (), "report it with the traceback",
)  # fmt: skip
RECORD_OMIT_UNKNOWN = LogEvent(
    "record_omit_unknown", "warning", "a name in `PREDICTOR_RECORD_OMIT` is no feature of the version that is recorded",
    ("features", *_VERSION), "if it is mistyped, correct it: the values of the feature that you meant are recorded",
)  # fmt: skip
RECORDS_DELETED = LogEvent(
    "records_deleted", "info", "the records of days before `PREDICTOR_RECORD_DAYS` were deleted", ("days",)
)  # fmt: skip
RECORDS_NOT_DELETED = LogEvent(
    "records_not_deleted", "error",
    "records of days before `PREDICTOR_RECORD_DAYS` could not be deleted; it is tried again every hour, and records are "
    "written meanwhile", ("reason",), "let the service delete in the folder or store of `PREDICTOR_RECORD_URI`",
)  # fmt: skip
RECORD_WRITER_ENDED = LogEvent(
    "record_writer_ended", "error", "the process that writes recorded predictions ended, and is started again",
    ("code", "retry_seconds"), "look for its own error above; predictions are recorded in the spool meanwhile",
)  # fmt: skip
RECORDS_DROPPED = LogEvent(
    "records_dropped", "error",
    "predictions could not be recorded, because the spool or its disk is full: `dropped` were answered without a "
    "record, `refused` got 503", ("dropped", "refused"),
    "repair the store of `PREDICTOR_RECORD_URI`, or free the disk of the spool", "debug",
)  # fmt: skip
OUTCOMES_NOT_KEPT = LogEvent(
    "outcomes_not_kept", "error",
    "`POST /outcomes` was answered with 503, because the spool or its disk is full; clients have to send these outcomes "
    "again", ("outcomes", "requests"), "repair the store of `PREDICTOR_RECORD_URI`, or free the disk of the spool",
)  # fmt: skip
SHADOW_CHANGED = LogEvent(
    "shadow_changed", "info", "the shadow compares from now on, or waits, for example for a version",
    ("state", "reason", "version"),
)  # fmt: skip
SHADOW_FAILED = LogEvent(
    "shadow_failed", "error", "the shadow cannot be compared; predictions are answered as before",
    ("reason", "version"), "read the reason; repair or demote the version of `PREDICTOR_SHADOW_URI`",
)  # fmt: skip
SHADOW_ENDED = LogEvent(
    "shadow_ended", "error", "the process of the shadow ended, and is started again; predictions are answered as before",
    ("code", "reason", "retry_seconds"),
    "read its own lines, which have `shadow`; for code -9 also the kernel's log about memory",
)  # fmt: skip
SHADOW_HUNG = LogEvent(
    "shadow_hung", "error", "the process of the shadow did not respond, and was killed", ("seconds",),
    "demote the version of `PREDICTOR_SHADOW_URI` if it happens again",
)  # fmt: skip
SHADOW_INTERNAL = LogEvent(
    "shadow_internal", "error", "a bug of the service prevented a comparison, or ended the process of the shadow; its traceback is in the line",
    (), "report it with the traceback",
)  # fmt: skip
APPROVALS_CHANGED = LogEvent(
    "approvals_changed", "info", "the approvals of the desired or of the serving version changed",
    ("desired", "desired_approvals", "serving", "serving_approvals"),
)  # fmt: skip
SWAPPED = LogEvent(
    "swapped", "info", "another version serves from now on",
    (*_VERSION, "reason", "previous", "load_seconds"),
)  # fmt: skip
STOPPED_SERVING = LogEvent(
    "stopped_serving", "warning",
    "no version serves from now on: 503; `unapproved`: too few of its approvals are still valid", ("reason", *_VERSION),
    "promote or approve a version, unless this is intended",
)  # fmt: skip
INFERENCE_TIMED_OUT = LogEvent(
    "inference_timed_out", "error",
    "a computation of the serving version took longer than `PREDICTOR_INFERENCE_SECONDS`, or half a second on "
    "the event loop, and was stopped; the version keeps serving, each record in a thread",
    (*_VERSION, "times"), "roll back to a version that answers every record",
)  # fmt: skip
EVENT_LOOP_STUCK = LogEvent(
    "event_loop_stuck", "error",
    "a computation on the event loop could not be stopped; the process ends with code 1 and has to be restarted",
    ("seconds",), "roll back to a version that answers every record",
)  # fmt: skip
CACHE_NOT_READ = LogEvent(
    "cache_not_read", "warning",
    "the service starts without the last known good version: the cache folder is a link, other users may write "
    "to it, or the files do not match the tag `onnx_sha256`",
    ("reason",), "repair or empty the folder of `PREDICTOR_CACHE_DIR`",
)  # fmt: skip
CACHE_NOT_WRITTEN = LogEvent(
    "cache_not_written", "error",
    "the serving version, or a withdrawal of an approval, could not be saved for a start without the registry",
    (*_VERSION, "reason"), "repair the folder of `PREDICTOR_CACHE_DIR`",
)  # fmt: skip
REQUEST_REFUSED = LogEvent(
    "request_refused", "debug", "a request was malformed, too large or too slow, or there were too many",
    ("status", "reason"), "nothing; `predictor_requests_total` counts them",
)  # fmt: skip
INTERNAL_ERROR = LogEvent(
    "internal_error", "error",
    "a request was answered 500, because of a bug in the service or the model; its traceback follows",
    ("endpoint", "error"), "report it; roll back if it began with a swap",
)  # fmt: skip
KEY_REFUSED = LogEvent(
    "key_refused", "warning", "requests came without a valid key; at most one line in ten seconds",
    ("endpoint", "key", "client", "requests"), "find the client; give it a key, or block it",
)  # fmt: skip
KEYS_READ = LogEvent(
    "keys_read", "info", "the keys or approvers changed, or their file can be read again after a failure",
    ("variable", "keys"),
)  # fmt: skip
KEYS_NOT_READ = LogEvent(
    "keys_not_read", "error", "a file of keys or approvers cannot be read; its previous content stays valid",
    ("variable", "reason"),
    "repair the file", "debug",
)  # fmt: skip
WEBHOOK_REFUSED = LogEvent(
    "webhook_refused", "warning", "a webhook was refused; at most one line in ten seconds",
    ("outcome", "reason", "deliveries"), "compare the secrets and clocks of MLflow and of this host",
)  # fmt: skip
WEBHOOK_SECRET_READ = LogEvent(
    "webhook_secret_read", "info", "the webhook secrets changed", ("secrets",)
)
WEBHOOK_SECRET_NOT_READ = LogEvent(
    "webhook_secret_not_read", "error", "the secret file cannot be read; the previous secrets stay valid",
    ("reason", "next"), "repair the file",
)  # fmt: skip
TRACES_NOT_SENT = LogEvent(
    "traces_not_sent", "warning",
    "the trace collector does not accept spans; they are dropped, and no request waits; logged once", ("next",),
    "check the collector and `OTEL_EXPORTER_OTLP_ENDPOINT`",
)  # fmt: skip
TRACES_SENT = LogEvent("traces_sent", "info", "the trace collector accepts spans again")
DESCRIPTORS_LIMITED = LogEvent(
    "descriptors_limited", "warning",
    "fewer connections can be open than `PREDICTOR_MAX_CONNECTIONS` allows; the rest wait",
    ("needed", "allowed", "next"), "raise the hard limit of open files, or lower the setting",
)  # fmt: skip
CANNOT_LISTEN = LogEvent(
    "cannot_listen", "error", "the address or port cannot be used; the process ends with code 1",
    ("host", "port", "reason"), "free the port, or set another",
)  # fmt: skip
STARTING = LogEvent(
    "starting", "info", "the service has its address and begins to serve; logged once, also with several workers",
    ("version", "address", "grpc_address", "workers", "model_uri", "registry", "approvers_file"),
)  # fmt: skip
UNKNOWN_SETTING = LogEvent(
    "unknown_setting", "warning",
    "a variable that begins with `PREDICTOR_` is not a setting, and has no effect; `similar` is the setting with the "
    "nearest name", ("variable", "similar"), "correct the name, or remove the variable",
)  # fmt: skip
WORKER_ENDED = LogEvent(
    "worker_ended", "error", "a worker ended unexpectedly; another one is started",
    ("worker", "code", "served", "replaced_after_seconds"),
    "read its last log lines; for code -9 also the kernel's log about memory",
)  # fmt: skip
WORKER_HUNG = LogEvent(
    "worker_hung", "error", "a worker's event loop was blocked, and the worker was killed",
    ("worker", "seconds"), "report it, with the requests at that time",
)  # fmt: skip
WORKER_NOT_STARTED = LogEvent(
    "worker_not_started", "error", "the system could not start a process; the supervisor tries again",
    ("worker", "reason"), "check the limits of processes, memory and open files",
)  # fmt: skip
WORKERS_CANNOT_START = LogEvent(
    "workers_cannot_start", "error", "no worker could start; the service ends with their exit code",
    ("worker", "code"), "read the workers' log lines before this one",
)  # fmt: skip
SUPERVISOR_ENDED = LogEvent(
    "supervisor_ended", "error", "a worker's supervisor was killed; the worker finishes its requests and ends",
    ("next",), "start the service again",
)  # fmt: skip
COUNTS_FULL = LogEvent(
    "counts_full", "error", "the memory for counts is full, after many versions and classes; logged once",
    ("first_not_counted", "bytes"), "restart at a convenient time",
)  # fmt: skip
EXIT_FORCED = LogEvent(
    "exit_forced", "warning", "requests or threads did not end in time after SIGTERM, and were aborted",
    ("reason",), "check whether a load hung",
)  # fmt: skip

EVENTS = tuple(each for each in list(globals().values()) if isinstance(each, LogEvent))


@dataclass(frozen=True)
class LibraryLine:
    """Lines of a library. Their `event` begins with one of `starts`."""

    starts: tuple[str, ...]
    level: Level
    when: str


LIBRARY_LINES = (
    LibraryLine(
        ("Started server process", "Finished server process"), "info",
        "a serving process starts and ends (uvicorn)",
    ),
    LibraryLine(("Waiting for application startup", "Application startup complete"), "info", "the same"),
    LibraryLine(("Uvicorn running on",), "info", "it accepts connections"),
    LibraryLine(
        (
            "Shutting down", "Waiting for connections to close", "Waiting for background tasks to complete",
            "Waiting for application shutdown", "Application shutdown complete",
        ),
        "info", "after SIGTERM (uvicorn)",
    ),
    LibraryLine(
        ("Cancel",), "error",
        "requests did not finish within `PREDICTOR_SHUTDOWN_SECONDS` and were answered 503 (uvicorn)",
    ),
    LibraryLine(
        ("Exception in ASGI application", "Exception in the fast lane", "Exception in a call"), "error",
        "after `internal_error`, with the same `request_id`: the traceback",
    ),
    LibraryLine(
        ("callback_failed",), "error",
        "an error outside of any request, with its traceback (asyncio, without its message)",
    ),
    LibraryLine(("Job", "Error"), "error", "an error of a poll, with its traceback (APScheduler)"),
    LibraryLine(("Using selector",), "debug", "the supervisor starts (asyncio)"),
    LibraryLine(("/",), "warning", "a warning of a library, after the file and line of its source"),
)  # fmt: skip
