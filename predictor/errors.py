"""Every error of the service, in one tree.

PredictorError
├── SettingsError        a setting is wrong; the process does not start
├── KeysError            a file of keys cannot be used; those that were read before stay
├── RegistryError        the registry gave no usable answer; what serves goes on serving
│   ├── RegistryUnreachable   no connection, no answer in time, or a server error
│   ├── RegistryRefused       the registry refused the credentials
│   ├── RegistryInvalidResponse      an answer that is not the registry's protocol
│   └── RegistryInternal      a fault of our own while it was asked
├── LoadError            a model version could not be made ready; what serves goes on serving
├── CacheError           the cache could not be written; what serves goes on serving, from memory
├── Unavailable          not now, perhaps later
│   ├── NothingServing        there is no version that may answer
│   ├── Overloaded            more is asked than can be answered in good time
│   ├── InferenceTimeout      a computation took too long and was ended
│   └── NoStream              no further client can be told of events
└── RequestError         what a client sent cannot be answered
    ├── Unauthorized          it has no key that may ask this
    ├── BadRequest            it cannot be read
    │   └── MalformedBody         not JSON
    ├── Forbidden             it is not genuine
    ├── NotFound              it asks for something that is not here
    ├── Conflict              it cannot be answered in the state that things are in
    ├── TooLarge
    │   ├── BodyTooLarge          more bytes than the limit
    │   └── TooManyRows           more rows than are computed at a time
    ├── UnsupportedMedia      a content type or encoding that is not read
    └── Unprocessable         it can be read, and the serving model does not take it
        └── InvalidRecord         JSON, but not the record that the serving model takes

Each protocol derives its own from these. None of them knows an HTTP status; `http/problems.py` has the one
table for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

Stage = Literal["fetch", "digest", "session", "signature", "warm_up", "examples", "internal"]
"""How far a version came that could not be made ready; `internal` is a fault of our own."""
LOAD_STAGES: tuple[Stage, ...] = get_args(Stage)
INFERENCE = "inference"
"""In place of a stage, for a version that serves and whose computation had to be ended."""
RegistryOutcome = Literal["unreachable", "refused", "invalid_response", "internal"]
"""Why a poll of the registry failed; `internal` is a fault of our own."""
REGISTRY_OUTCOMES: tuple[RegistryOutcome, ...] = get_args(RegistryOutcome)


class PredictorError(Exception):
    """The root of the tree."""


class SettingsError(PredictorError):
    """A setting is missing or wrong. The message names the variable and says what it takes."""


class KeysError(PredictorError):
    """A file of keys cannot be used. The message says why, and never repeats what may be a key."""


class RegistryError(PredictorError):
    """The registry gave no usable answer. `outcome` is what metrics and logs call it."""

    outcome: ClassVar[RegistryOutcome]


class RegistryUnreachable(RegistryError):
    """No connection, no answer in time, or a server error."""

    outcome = "unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the registry at {url} did not answer: {reason}")


class RegistryRefused(RegistryError):
    """The registry refused the credentials."""

    outcome = "refused"

    def __init__(self, url: str, status: int, permission: str = "") -> None:
        """`permission` is which permission is missing, and for whom."""
        credentials = (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
        forbidden = permission and status == HTTPStatus.FORBIDDEN
        super().__init__(
            f"the registry at {url} refused the credentials (HTTP {status}); "
            f"{permission if forbidden else credentials}"
        )


class RegistryInvalidResponse(RegistryError):
    """An answer that is not the registry's protocol."""

    outcome = "invalid_response"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the answer of {url} is not that of an MLflow registry: {reason}")


class RegistryInternal(RegistryError):
    """A poll failed by a fault of our own; the log has where."""

    outcome = "internal"

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"a fault of the service ended this poll ({type(cause).__name__}); its log says where"
        )


class LoadError(PredictorError):
    """A model version could not be made ready to serve.

    `stage` says how far it came.
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Stage = stage
        self.reason = reason


class CacheError(PredictorError):
    """The cache folder could not be written."""

    def __init__(self, what: Literal["written", "cleared"], cause: Exception) -> None:
        consequence = {
            "written": "this version serves from memory; a start without the registry cannot serve it",
            "cleared": "a start without the registry could serve a version that was withdrawn",
        }
        super().__init__(f"the cache could not be {what}: {cause}; {consequence[what]}")


class Unavailable(PredictorError):
    """Not now, though perhaps later: the caller may try again."""


class NothingServing(Unavailable):
    """There is no version that may answer; the message says why, in words for any client."""


class Overloaded(Unavailable):
    """More is asked than can be answered in good time; later there may be room."""

    def __init__(self, waiting: int, what: str) -> None:
        super().__init__(f"{waiting} {what} wait already; try again later")


class InferenceTimeout(Unavailable):
    """The model took longer than it may, and its computation was ended."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the model did not finish within {seconds:g} s and was stopped "
            "(PREDICTOR_INFERENCE_SECONDS); send fewer rows, or other values: the same would take as "
            "long again"
        )


class NoStream(Unavailable):
    """No further client can be told of events as they happen; the message says why."""


class RequestError(PredictorError):
    """What a client sent cannot be answered."""

    def at(self, place: str) -> "RequestError":  # noqa: ARG002
        """The same error, told of one row of several: `place` is such as `instances[3]`."""
        return self


class BadRequest(RequestError):
    """A request that cannot be read, or does not follow its protocol."""


class Forbidden(RequestError):
    """A request that is not genuine."""


class NotFound(RequestError):
    """A request for something that is not here."""


class Conflict(RequestError):
    """A request that cannot be answered in the state that things are in."""


class TooLarge(RequestError):
    """More bytes or rows than a limit allows."""


class Unprocessable(RequestError):
    """A request that can be read, with content that the serving model does not take."""


class Unauthorized(RequestError):
    """A request without a key that may ask this."""

    def __init__(self, *, given: bool) -> None:
        what = "this key is none of those that may ask this" if given else "this asks for a key"
        super().__init__(
            f"{what}; send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`, and ask "
            "whoever runs the service for it"
        )


class MalformedBody(BadRequest):
    """The body is not JSON in UTF-8."""


class BodyTooLarge(TooLarge):
    """The body has more bytes than the limit."""

    def __init__(self, limit: int, setting: str | None = "PREDICTOR_MAX_BODY_BYTES") -> None:
        """`setting` is where the limit comes from; None for a fixed one."""
        said = f"the body is larger than {limit} bytes"
        named = f"{said}, which {setting} allows; send fewer rows at a time"
        super().__init__(named if setting else said)


class TooManyRows(TooLarge):
    """A body that means more rows than are computed at a time, whatever its length."""

    def __init__(self, rows: int, features: int) -> None:
        super().__init__(
            f"{rows} rows of {features} features are more than are computed at a time; "
            "send fewer rows at a time"
        )


class UnsupportedMedia(RequestError):
    """A content type or encoding that is not read."""


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong with one field of a body. `field` is empty for the body itself."""

    field: Annotated[
        str, Meta(description="Its name; in a batch with its place, as `instances[3].age`.")
    ]
    message: Annotated[str, Meta(description="What is wrong with it.")]


class InvalidRecord(Unprocessable):
    """JSON, but not what the serving model takes. Carries every fault found, each with its field.

    `hint` is a sentence on what the caller probably meant, or empty.
    """

    def __init__(self, errors: Sequence[FieldError], hint: str = "") -> None:
        super().__init__(
            "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors)
        )
        self.errors = tuple(errors)
        self.hint = hint

    def at(self, place: str) -> "InvalidRecord":
        """The same faults, each with its place in front."""
        return InvalidRecord(
            [
                FieldError(f"{place}.{e.field}" if e.field else place, e.message)
                for e in self.errors
            ],
            self.hint,
        )
