"""What MLflow's scoring protocol refuses, apart as MLflow tells it apart."""

from predictor.errors import BadRequest, NotFound, Unprocessable


class InvalidInput(BadRequest):
    """A body that cannot be read, or values that the model cannot take: MLflow's `BAD_REQUEST`."""


class SchemaNotMet(Unprocessable):
    """A table that the signature does not allow: MLflow's `INVALID_PARAMETER_VALUE`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to enforce schema. Error: {reason}")


class NoMlflowVersion(NotFound):
    """Asked for the MLflow that logged a version whose `MLmodel` does not say."""

    def __init__(self) -> None:
        super().__init__("MLmodel does not say which MLflow logged the version that serves")
