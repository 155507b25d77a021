"""Why a webhook's delivery changes nothing.

DeliveryRefused
├── DeliveryMalformed     not what MLflow sends
├── DeliveryNotSigned     not signed with our secret
├── DeliveryStale         too old, or from the future
└── DeliveryRepeated      it came before
"""

from typing import ClassVar, Literal, get_args

from predictor.errors import BadRequest, Conflict, Forbidden, RequestError

Refusal = Literal["malformed", "bad_signature", "stale", "repeated"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)


class DeliveryRefused(RequestError):
    """A webhook's delivery that changes nothing. `outcome` is what metrics and logs call it."""

    outcome: ClassVar[Refusal]


class DeliveryMalformed(DeliveryRefused, BadRequest):
    """Not what MLflow sends."""

    outcome = "malformed"


class DeliveryNotSigned(DeliveryRefused, Forbidden):
    """Not signed with a secret of ours."""

    outcome = "bad_signature"

    def __init__(self) -> None:
        super().__init__(
            "X-MLflow-Signature is not that of this delivery; see that the webhook has the secret "
            "that is in the file of PREDICTOR_WEBHOOK_SECRET_FILE"
        )


class DeliveryStale(DeliveryRefused, Forbidden):
    """Signed `age` seconds ago by MLflow's clock; less than 0 for a time to come."""

    outcome = "stale"

    def __init__(self, age: float, limit: float) -> None:
        super().__init__(
            f"signed {age:.0f} s ago by its timestamp, and {limit:.0f} s are allowed either way; "
            "see that the clocks of MLflow's server and of this one agree"
        )


class DeliveryRepeated(DeliveryRefused, Conflict):
    """A delivery of the same id was taken."""

    outcome = "repeated"

    def __init__(self) -> None:
        super().__init__(
            "a delivery of this id was taken already; there is no need to send it again"
        )
