"""What can be set from outside: environment variables, read once."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from predictor.errors import SettingsError
from predictor.model_uri import ModelUri


class Settings(BaseSettings):
    """The service's settings. The README's table says the same, and a test compares them."""

    model_config = SettingsConfigDict(
        env_prefix="PREDICTOR_",
        frozen=True,
        extra="ignore",
        validate_default=True,
        env_ignore_empty=True,
    )

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

    model_uri: Annotated[
        str,
        Field(
            description="which version should serve: `models:/NAME/Production` (or another "
            "stage), `models:/NAME@ALIAS`, `models:/NAME/7`"
        ),
    ] = "models:/breast-cancer/Production"
    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on")] = 8000
    poll_seconds: Annotated[
        float, Field(gt=0, le=3600, description="time between two looks at the registry")
    ] = 2
    cache_dir: Annotated[
        Path, Field(description="where fetched versions are kept, by content digest")
    ] = Path("~/.cache/mlflow-hotswap")
    when_none: Annotated[
        Literal["stop", "keep"],
        Field(
            description="when the registry names no version: `stop` answers 503, "
            "`keep` goes on with the last one"
        ),
    ] = "stop"
    max_body_bytes: Annotated[
        int, Field(ge=1, description="larger request bodies are refused with 413")
    ] = 1_048_576
    max_model_bytes: Annotated[
        int, Field(ge=1, description="a version whose files are larger is not loaded")
    ] = 1_073_741_824
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="the least that is logged")
    ] = "info"

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

    @field_validator("model_uri")
    @classmethod
    def _model_uri(cls, value: str) -> str:
        return str(ModelUri.parse(value))

    @field_validator("cache_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser()

    @classmethod
    def read(cls) -> "Settings":
        """The settings of this environment. Raises SettingsError, which names every variable that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_faults(error))) from None


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Reading the port checks it.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def variable(name: str) -> str:
    """The environment variable that a field of Settings is read from."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"PREDICTOR_{name.upper()}"


def _faults(error: ValidationError) -> list[str]:
    names = {variable(name): name for name in Settings.model_fields}
    faults = []
    for fault in error.errors():
        place = str(fault["loc"][0])
        name = place if place in names else variable(place)
        faults.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
    return faults
