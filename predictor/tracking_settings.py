"""The settings of the connection to MLflow, mostly by MLflow's own variables.

Only this module reads secrets. Whitespace around them is stripped. A secret that no HTTP header can carry is
refused; the error names the variable and never its value.
"""

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings

from predictor.origins import Origin, host_and_port, parse_hosts

_URI, _USERNAME, _PASSWORD, _AUTH = (
    "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH",
)  # fmt: skip
DATABRICKS = "databricks"
"""MLflow's name for the workspace of DATABRICKS_HOST, and this service's name for its sign-in."""
_HOST, _CLIENT_ID, _CLIENT_SECRET = (
    "DATABRICKS_HOST", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET",
)  # fmt: skip
_NO_HOST = (
    f"names a Databricks workspace, so {_HOST} must be its address, such as "
    "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com; profiles of ~/.databrickscfg are not read"
)
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
            description="address of the MLflow server, http or https; or `databricks`, with `DATABRICKS_HOST`",
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
    tracking_token_file: Annotated[
        Path | None,
        Field(
            validation_alias="MLFLOW_TRACKING_TOKEN_FILE",
            description="file with that token instead, read again when it changes; used without user and password",
        ),
    ] = None
    tracking_auth: Annotated[
        str,
        Field(
            validation_alias=_AUTH,
            description="sign-in of the registry: `databricks`, `kubernetes` (the pod's service account), or the name of a plugin",
        ),
    ] = ""
    databricks_host: Annotated[
        str,
        Field(
            validation_alias=_HOST,
            description="address of the Databricks workspace for `MLFLOW_TRACKING_URI=databricks`",
        ),
    ] = ""
    databricks_client_id: Annotated[
        str,
        Field(
            validation_alias=_CLIENT_ID,
            description="application id of the service principal, for Databricks",
        ),
    ] = ""
    databricks_client_secret: Annotated[
        SecretStr,
        Field(
            validation_alias=_CLIENT_SECRET,
            description="OAuth secret of the service principal, for Databricks",
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

    @property
    def unity_catalog(self) -> bool:
        """Whether the registry is the Unity Catalog of a Databricks workspace."""
        return self.tracking_auth == DATABRICKS

    @model_validator(mode="before")
    @classmethod
    def _read_address(cls, values: dict[str, Any]) -> dict[str, Any]:
        return cls._move_user(cls._databricks(values))

    @classmethod
    def _databricks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put the workspace's address in place of `databricks`, and choose its sign-in, as MLflow does."""
        address = _workspace_address(str(values.get(_HOST) or "").strip())
        if str(values.get(_URI, "")).strip().lower() != DATABRICKS or address is None:
            return values
        return {_AUTH: DATABRICKS, **values, _URI: address}

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
        if fault := token_fault(value.get_secret_value()):
            raise ValueError(fault)
        return value

    @field_validator("databricks_host")
    @classmethod
    def _workspace_host(cls, value: str) -> str:
        if value and _workspace_address(value) is None:
            raise ValueError(
                "not the https address of a workspace, such as https://dbc-a1b2c3d4-e5f6.cloud.databricks.com"
            )
        return value

    @field_validator("databricks_client_id", "databricks_client_secret")
    @classmethod
    def _service_principal(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        plain = value if isinstance(value, str) else value.get_secret_value()
        if not plain and info.data.get("tracking_auth") == DATABRICKS:
            raise ValueError(
                f"missing: Databricks needs {_CLIENT_ID} and {_CLIENT_SECRET} of a service principal "
                "(OAuth machine-to-machine); personal access tokens are not used"
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
        if value.partition(":")[0].lower().startswith(DATABRICKS):
            raise ValueError(_NO_HOST)
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


def _workspace_address(host: str) -> str | None:
    """The address of a Databricks workspace without path and query, as its SDK takes it; None for other texts.

    Only this machine may be reached by http: the secret of the service principal is sent there.
    """
    parts = _split(host if "://" in host else f"https://{host}") if host else None
    if parts is None or "@" in parts.netloc:
        return None
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme == "https" or local else None


def token_fault(token: str) -> str | None:
    """Why a bearer token cannot be sent; None for a usable one."""
    if not token.isascii() or not token.isprintable() or " " in token:
        return "contains a space or a character outside ASCII; no HTTP header can carry it"
    return None


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
