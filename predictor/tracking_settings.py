"""What can be set about the MLflow server, by MLflow's own variables."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class TrackingSettings(BaseSettings):
    """The variables that MLflow's clients read too, with their meaning."""

    tracking_uri: Annotated[
        str,
        Field(
            validation_alias="MLFLOW_TRACKING_URI",
            description="address of the MLflow server, http or https",
        ),
    ] = ""
    tracking_username: Annotated[
        str,
        Field(
            validation_alias="MLFLOW_TRACKING_USERNAME",
            description="user for the registry, with basic authentication",
        ),
    ] = ""
    tracking_password: Annotated[
        SecretStr,
        Field(
            validation_alias="MLFLOW_TRACKING_PASSWORD",
            description="password for the registry",
        ),
    ] = SecretStr("")
    tracking_token: Annotated[
        SecretStr,
        Field(
            validation_alias="MLFLOW_TRACKING_TOKEN",
            description="bearer token for the registry, where there is no user and password",
        ),
    ] = SecretStr("")
    tracking_insecure_tls: Annotated[
        bool,
        Field(
            validation_alias="MLFLOW_TRACKING_INSECURE_TLS",
            description="`true` accepts any certificate of the registry",
        ),
    ] = False
    tracking_server_cert_path: Annotated[
        Path | None,
        Field(
            validation_alias="MLFLOW_TRACKING_SERVER_CERT_PATH",
            description="CA bundle that the registry's certificate is checked against",
        ),
    ] = None
    tracking_client_cert_path: Annotated[
        Path | None,
        Field(
            validation_alias="MLFLOW_TRACKING_CLIENT_CERT_PATH",
            description="client certificate and key (PEM) shown to the registry",
        ),
    ] = None

    @field_validator("tracking_uri")
    @classmethod
    def _http(cls, value: str) -> str:
        if not _is_address(value):
            raise ValueError(
                f"{value!r} is not the address of an MLflow server. Start one with `mlflow server "
                "--backend-store-uri sqlite:///mlflow.db --port 5000`, then set "
                "MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
            )
        return value.rstrip("/")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Reading the port checks it.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
