"""Every error of the service, in one tree.

PredictorError
├── SettingsError        a setting is wrong; the process does not start
├── KeysError            a key file cannot be read; the previous keys stay valid
├── RegistryError        the registry gave no usable response; the serving version stays
│   ├── RegistryUnreachable   no connection, a timeout, or a server error
│   ├── RegistryRefused       the registry refused the credentials
│   ├── RegistryInvalidResponse   a response that is not the registry's
│   └── RegistryInternal      a fault of the service during a poll
├── LoadError            a model version could not be loaded, or is not approved; the serving version stays
├── CacheError           the cache could not be written; the serving version stays in memory
├── FleetError           the statuses of other replicas could not be read
├── Unavailable          temporary: the client may retry
│   ├── NothingServing        no version serves
│   ├── Overloaded            too many requests are waiting
│   ├── InferenceTimeout      a computation took too long and was stopped
│   ├── NotRecorded           the prediction could not be recorded, and must be
│   ├── OutcomesNotKept       reported outcomes could not be kept
│   └── NoStream              too many clients read events
└── RequestError         the client has to change its request
    ├── Unauthorized          no API key, or one that is not authorised
    ├── BadRequest            the request cannot be parsed
    │   └── MalformedBody         not JSON
    ├── Forbidden             the request is not authentic
    ├── NotFound              there is no such thing
    ├── Conflict              the present state does not allow it
    ├── TooLarge
    │   ├── BodyTooLarge          more bytes than the limit
    │   └── TooManyRows           more rows than one request may have
    ├── UnsupportedMedia      an unsupported content type or encoding
    └── Unprocessable         valid syntax that the serving model does not accept
        └── InvalidRecord         JSON, but not a record of the serving model
            └── NotFinite             the model's answer to it is NaN or infinite

Protocols derive their own errors from these. No error knows its HTTP status: `http/problems.py` has the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

Stage = Literal[
    "approval", "fetch", "digest", "session", "signature", "warm_up", "examples", "internal"
]
"""The step of a load that failed; `internal` is a fault of the service."""
LOAD_STAGES: tuple[Stage, ...] = get_args(Stage)
APPROVAL: Stage = "approval"
"""The stage of a version that too few people have approved."""
INFERENCE = "inference"
"""The stage of a serving version whose computation was stopped."""
RegistryOutcome = Literal["unreachable", "refused", "invalid_response", "internal"]
"""Why a poll of the registry failed; `internal` is a fault of the service."""
REGISTRY_OUTCOMES: tuple[RegistryOutcome, ...] = get_args(RegistryOutcome)


class PredictorError(Exception):
    """The base class of all errors of the service."""


class SettingsError(PredictorError):
    """A setting is missing or wrong. The message names the variable and its valid values."""


class KeysError(PredictorError):
    """A key file cannot be read. The message says why, and never quotes a line, which may be a key."""


class RegistryError(PredictorError):
    """The registry gave no usable response. `outcome` is its name in metrics and logs."""

    outcome: ClassVar[RegistryOutcome]


class RegistryUnreachable(RegistryError):
    """No connection, a timeout, or a server error."""

    outcome = "unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the registry at {url} did not answer: {reason}")


_CREDENTIALS = (
    "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, "
    "MLFLOW_TRACKING_TOKEN_FILE or MLFLOW_TRACKING_AUTH, whichever is used"
)


class RegistryRefused(RegistryError):
    """The registry refused the credentials."""

    outcome = "refused"

    def __init__(self, url: str, status: int, remedy: str = _CREDENTIALS) -> None:
        """`remedy` says what to check, or who needs which permission."""
        super().__init__(f"the registry at {url} refused the credentials (HTTP {status}); {remedy}")


class RegistryInvalidResponse(RegistryError):
    """A response that is not of the registry's protocol."""

    outcome = "invalid_response"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the response of {url} is not that of an MLflow registry: {reason}")


class RegistryInternal(RegistryError):
    """A fault of the service ended a poll; the log has its traceback."""

    outcome = "internal"

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"a fault of the service ended this poll ({type(cause).__name__}); its log says where"
        )


class LoadError(PredictorError):
    """A model version could not be loaded. `stage` is the step that failed."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Stage = stage
        self.reason = reason


class CacheError(PredictorError):
    """The cache folder could not be written."""

    def __init__(
        self, what: Literal["written", "cleared", "given the withdrawals"], cause: Exception
    ) -> None:
        consequence = {
            "written": "this version serves from memory; a start without the registry cannot serve it",
            "cleared": "a start without the registry could serve a version that was withdrawn",
            "given the withdrawals": "after a restart, an approval whose withdrawal was deleted from the "
            "registry would count again",
        }
        super().__init__(f"the cache could not be {what}: {cause}; {consequence[what]}")


class FleetError(PredictorError):
    """The statuses of the other replicas could not be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the statuses of replicas could not be read from NATS: {reason}")


class Unavailable(PredictorError):
    """A temporary error: the client may retry."""


class NothingServing(Unavailable):
    """No version serves; the message says why, and any client may read it."""


class Overloaded(Unavailable):
    """Too many requests are waiting; the client may retry later."""

    def __init__(self, waiting: int, what: str) -> None:
        super().__init__(f"{waiting} {what} wait already; try again later")


class InferenceTimeout(Unavailable):
    """The model took longer than the limit, and its computation was stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the model did not finish within {seconds:g} s and was stopped "
            "(PREDICTOR_INFERENCE_SECONDS); send fewer rows or other values: the same request would time "
            "out again"
        )


class NotRecorded(Unavailable):
    """The prediction was computed, but could not be recorded, and a setting asks that it then is not given."""

    def __init__(self) -> None:
        super().__init__(
            "the prediction could not be recorded, and none is given without a record "
            "(PREDICTOR_RECORD_WHEN_FULL=refuse); try again later"
        )


class OutcomesNotKept(Unavailable):
    """The outcomes could not be kept; none of the request's are."""

    def __init__(self) -> None:
        super().__init__(
            "the outcomes could not be kept, because the disk or the room for records is full; send them again later"
        )


class NoStream(Unavailable):
    """No further client can read events; the message says why."""


class RequestError(PredictorError):
    """The client has to change its request."""

    def at(self, place: str) -> "RequestError":  # noqa: ARG002
        """The same error for one row of several; `place` is its name, such as `instances[3]`."""
        return self


class BadRequest(RequestError):
    """A request that cannot be parsed, or does not follow its protocol."""


class Forbidden(RequestError):
    """A request that is not authentic."""


class NotFound(RequestError):
    """A request for something that does not exist."""


class Conflict(RequestError):
    """A request that the present state does not allow."""


class TooLarge(RequestError):
    """More bytes or rows than a limit allows."""


class Unprocessable(RequestError):
    """A request with valid syntax that the serving model does not accept."""


class Unauthorized(RequestError):
    """A request without an API key that is authorised for its route."""

    def __init__(self, *, given: bool) -> None:
        fault = "this API key is not authorised for this route"
        super().__init__(
            f"{fault if given else 'this route needs an API key'}; send one as `Authorization: Bearer KEY` "
            "or `X-API-Key: KEY`; the operator of the service can give you one"
        )


class MalformedBody(BadRequest):
    """The body is not JSON in UTF-8."""


class BodyTooLarge(TooLarge):
    """The body has more bytes than the limit."""

    def __init__(self, limit: int, setting: str | None = "PREDICTOR_MAX_BODY_BYTES") -> None:
        """`setting` is the variable that has the limit; None for a fixed one."""
        fault = f"the body is larger than {limit} bytes"
        advice = f", which {setting} allows; send fewer rows at a time"
        super().__init__(fault + (advice if setting else ""))


class TooManyRows(TooLarge):
    """A body with more rows than one request may have, whatever its length."""

    def __init__(self, rows: int, features: int) -> None:
        super().__init__(
            f"{rows} rows of {features} features are too many for one call; "
            "send fewer rows at a time"
        )


class UnsupportedMedia(RequestError):
    """An unsupported content type or encoding."""


@dataclass(frozen=True)
class FieldError:
    """One fault of a body's field. `field` is empty for a fault of the whole body."""

    field: Annotated[
        str,
        Meta(description="The field's name; in a batch with its row, such as `instances[3].age`."),
    ]
    message: Annotated[str, Meta(description="What is wrong with it.")]


class InvalidRecord(Unprocessable):
    """Valid JSON, but not a record of the serving model. It lists all faults, each with its field.

    `hint` is a sentence about the probable mistake; it may be empty.
    """

    def __init__(self, errors: Sequence[FieldError], hint: str = "") -> None:
        super().__init__(
            "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors)
        )
        self.errors = tuple(errors)
        self.hint = hint

    def at(self, place: str) -> "InvalidRecord":
        """The same faults; `place` is put in front of each field."""
        return InvalidRecord(
            [
                FieldError(f"{place}.{e.field}" if e.field else place, e.message)
                for e in self.errors
            ],
            self.hint,
        )


class NotFinite(InvalidRecord):
    """The model's answer to this record is NaN or infinite."""

    def __init__(self) -> None:
        reason = "the model has no finite answer for this record; a value may be far out of range"
        super().__init__([FieldError("", reason)])
