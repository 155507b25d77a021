"""The settings of the connection to MLflow, mostly by MLflow's own variables.

Only this module reads secrets. Whitespace around them is stripped. A secret that no HTTP header can carry is
refused; the error names the variable and never its value.
"""

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from predictor.origins import Origin, host_and_port, parse_hosts

_URI, _USERNAME, _PASSWORD = (
    "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
)  # fmt: skip
_NO_ADDRESS = (
    "not the address of an MLflow server, such as http://HOST:PORT without a query. Start one with "
    "`mlflow server --backend-store-uri sqlite:///mlflow.db --port 5000`, then set "
    "MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
)
# MLflow's own rule for names of workspaces.
_WORKSPACE = re.compile(r"[a-z0-9][-a-z0-9]{0,61}[a-z0-9]", re.ASCII)
_RESERVED_WORKSPACES = {"workspaces", "api", "ajax-api", "static-files"}


class TrackingSettings(BaseSettings):
    """The variables that MLflow's clients read, too, with the same meaning."""

    tracking_uri: Annotated[
        str,
        Field(
            validation_alias=_URI,
            description="address of the MLflow server, http or https",
        ),
    ] = ""
    tracking_username: Annotated[
        str,
        Field(
            validation_alias=_USERNAME,
            description="user for the registry, with basic authentication",
        ),
    ] = ""
    tracking_password: Annotated[
        SecretStr,
        Field(
            validation_alias=_PASSWORD,
            description="password for the registry",
        ),
    ] = SecretStr("")
    tracking_token: Annotated[
        SecretStr,
        Field(
            validation_alias="MLFLOW_TRACKING_TOKEN",
            description="bearer token for the registry, used without user and password",
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
            description="CA bundle to verify the registry's certificate",
        ),
    ] = None
    tracking_client_cert_path: Annotated[
        Path | None,
        Field(
            validation_alias="MLFLOW_TRACKING_CLIENT_CERT_PATH",
            description="client certificate and key (PEM) for the registry",
        ),
    ] = None
    workspace: Annotated[
        str,
        Field(
            validation_alias="MLFLOW_WORKSPACE",
            description="MLflow workspace of the model, if the server has workspaces",
        ),
    ] = ""
    s3_endpoint_url: Annotated[
        str,
        Field(
            validation_alias="MLFLOW_S3_ENDPOINT_URL",
            description="address of an S3-compatible store, for `s3:` sources; needs the extra `s3`",
        ),
    ] = ""
    s3_ignore_tls: Annotated[
        bool,
        Field(
            validation_alias="MLFLOW_S3_IGNORE_TLS",
            description="`true` accepts any certificate of that store",
        ),
    ] = False
    s3_addressing_style: Annotated[
        Literal["auto", "path", "virtual"],
        Field(
            validation_alias="MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
            description="whether buckets are in the store's paths or host names",
        ),
    ] = "auto"
    artifact_hosts: Annotated[
        str,
        Field(
            description="further hosts of model files, such as `https://artifacts.example:8443`, "
            "separated by commas; requests to them have no credentials"
        ),
    ] = ""

    @property
    def s3_options(self) -> dict[str, Any]:
        """Arguments for fsspec's S3 driver; boto finds credentials and region by itself."""
        client: dict[str, Any] = {"endpoint_url": self.s3_endpoint_url or None}
        if self.s3_ignore_tls:
            client["verify"] = False
        return {
            "client_kwargs": {name: each for name, each in client.items() if each is not None},
            "config_kwargs": {"s3": {"addressing_style": self.s3_addressing_style}},
        }

    @property
    def other_hosts(self) -> tuple[Origin, ...]:
        """The further hosts of artifacts; without a scheme they have the registry's, as in MLflow."""
        return parse_hosts(self.artifact_hosts, urlsplit(self.tracking_uri).scheme)

    @model_validator(mode="before")
    @classmethod
    def _move_user(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Move user and password out of the address: `/model` and logs show the address."""
        parts = _split(str(values.get(_URI, "")).strip())
        if parts is None or "@" not in parts.netloc or values.get(_USERNAME):
            return values
        user, _, host = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        taken = {_USERNAME: _unquoted(name), _PASSWORD: _unquoted(password)}
        if None in taken.values() or ":" in (taken[_USERNAME] or ":"):
            return values  # `_http` refuses it
        return {**values, _URI: parts._replace(netloc=host).geturl(), **taken}

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any) -> Any:
        """Strip whitespace around a value, such as the line break at the end of a secret's file."""
        if not isinstance(value, str):
            return value
        value = value.strip()
        if any(_is_control(each) for each in value):
            raise ValueError("contains a control character, such as a line break, or is not UTF-8")
        return value

    @field_validator("tracking_username")
    @classmethod
    def _user(cls, value: str) -> str:
        if ":" in value:
            raise ValueError(
                "contains a colon; basic authentication cannot send one in a user name"
            )
        return value

    @field_validator("tracking_token")
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if not token.isascii() or " " in token:
            raise ValueError(
                "contains a space or a character outside ASCII; no HTTP header can carry it"
            )
        return value

    @field_validator("tracking_uri")
    @classmethod
    def _http(cls, value: str) -> str:
        if "@" in value:
            raise ValueError(
                "contains a user although MLFLOW_TRACKING_USERNAME is set, or one that is not "
                "percent-encoded UTF-8. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        parts = _split(value)
        if parts is None or parts.query or parts.fragment or "?" in value or "#" in value:
            raise ValueError(_NO_ADDRESS)
        return value.rstrip("/")

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value and (_split(value) is None or "@" in value or "?" in value or "#" in value):
            raise ValueError("not an address such as https://HOST:PORT")
        return value

    @field_validator("workspace")
    @classmethod
    def _workspace(cls, value: str) -> str:
        if value and (not _WORKSPACE.fullmatch(value) or value in _RESERVED_WORKSPACES):
            raise ValueError(
                "not a workspace name: 2 to 63 lower-case letters, digits and hyphens, "
                "beginning and ending with a letter or digit"
            )
        return value

    @field_validator("artifact_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        parse_hosts(value, "http")
        return value


def _split(text: str) -> SplitResult | None:
    """The parts of an http or https address; None for any other text."""
    try:
        parts = urlsplit(text)
        host_and_port(parts.netloc.rpartition("@")[2], parts.scheme)
    except ValueError:
        return None
    host = parts.hostname or ""
    fits = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}')
    return parts if fits and not set(host) & set("%*@") else None


def _unquoted(text: str) -> str | None:
    """The user or password of an address; None if it is not percent-encoded UTF-8."""
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None
    bad = re.search(r"%(?![0-9A-Fa-f]{2})", text) or any(_is_control(each) for each in found)
    return None if bad else found


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
