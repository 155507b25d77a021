"""The service's settings: environment variables, read once."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from predictor import origins
from predictor.errors import SettingsError
from predictor.model_version import ModelUri
from predictor.tracking_settings import DATABRICKS, TrackingSettings

_SERVICE_LINK = re.compile(r"\s*(tcp|udp|sctp)://", re.IGNORECASE)


class Settings(TrackingSettings):
    """All settings. docs/settings.md is generated from these fields."""

    model_config = SettingsConfigDict(
        env_prefix="PREDICTOR_",
        frozen=True,
        extra="ignore",
        validate_default=True,
        env_ignore_empty=True,
    )

    model_uri: Annotated[
        str,
        Field(
            description="which version should serve: `models:/NAME/Production` (or another "
            "stage), `models:/NAME@ALIAS`, `models:/NAME/7`"
        ),
    ] = "models:/breast-cancer/Production"
    host: Annotated[
        str, Field(description="address to listen on; `::` for all of IPv4 and IPv6")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on")] = 8000
    grpc_port: Annotated[
        int | None,
        Field(
            ge=1, le=65535,
            description="port for the Open Inference Protocol over gRPC; needs the extra `grpc`",
        ),
    ] = None  # fmt: skip
    workers: Annotated[
        int,
        Field(ge=1, le=64, description="processes that serve on that port; one per core at most"),
    ] = 1
    poll_seconds: Annotated[
        float, Field(gt=0, le=3600, description="time between two polls of the registry")
    ] = 2
    cache_dir: Annotated[
        Path, Field(description="folder that keeps fetched versions, by content digest")
    ] = Path("~/.cache/mlflow-hotswap")
    when_none: Annotated[
        Literal["stop", "keep"],
        Field(
            description="when the registry names no version: `stop` answers 503, "
            "`keep` keeps the last version serving"
        ),
    ] = "stop"
    extra_fields: Annotated[
        Literal["refuse", "ignore"],
        Field(
            description="unknown fields of a record: `refuse` answers 422, `ignore` leaves them out"
        ),
    ] = "refuse"
    max_body_bytes: Annotated[
        int, Field(ge=1, description="larger request bodies are refused with 413")
    ] = 1_048_576
    max_header_bytes: Annotated[
        int, Field(ge=1024, description="larger request heads are refused with 431")
    ] = 32_768
    max_connections: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="connections at a time; more are refused with 503"),
    ] = 1000
    max_queued_rows: Annotated[
        int, Field(ge=1, description="small requests that may wait; more are answered 503")
    ] = 1024
    max_queued_batches: Annotated[
        int,
        Field(
            ge=1,
            description="requests of over 16 KiB, and explanations, that may wait or run in threads; more are answered 503",
        ),
    ] = 32
    max_event_streams: Annotated[
        int, Field(ge=0, description="clients of `/events` at a time; more are answered 503")
    ] = 100
    fast_lane: Annotated[
        bool,
        Field(
            description="answer plain requests for predictions below ASGI; `false`: FastAPI answers all"
        ),
    ] = True
    header_seconds: Annotated[
        float, Field(gt=0, le=3600, description="time to receive a request's head, else 408")
    ] = 10
    body_seconds: Annotated[
        float, Field(gt=0, le=3600, description="time to receive a request's body, else 408")
    ] = 30
    keep_alive_seconds: Annotated[
        int,
        Field(
            ge=0, le=3600,
            description="idle connections are closed after this time; make it longer than that of a proxy in front",
        ),
    ] = 75  # fmt: skip
    shutdown_seconds: Annotated[
        int, Field(ge=1, le=3600, description="time to finish requests in flight after SIGTERM")
    ] = 25
    inference_seconds: Annotated[
        float,
        Field(
            gt=0, le=3600,
            description="a computation of the model that takes longer is stopped; its records get 503",
        ),
    ] = 10  # fmt: skip
    tls_certificate: Annotated[
        Path | None, Field(description="certificate chain (PEM) for HTTPS")
    ] = None
    tls_key: Annotated[
        Path | None, Field(description="its private key (PEM), unless it is in the same file")
    ] = None
    webhook_secret_file: Annotated[
        Path | None,
        Field(
            description="file of the secrets that MLflow signs webhooks with, one a line; without it "
            "there is no `/webhooks/mlflow`"
        ),
    ] = None
    api_keys_file: Annotated[
        Path | None,
        Field(description="API keys for predictions, one `name:sha256-of-the-key` a line; read again when it changes"),
    ] = None  # fmt: skip
    operations_keys_file: Annotated[
        Path | None,
        Field(description="API keys for `/metrics`, `/model` and `/events`, in the same form"),
    ] = None
    approvers_file: Annotated[
        Path | None,
        Field(
            description="whose approvals a version needs before it serves, and how many; read again when it changes; "
            "needs the extra `approvals`"
        ),
    ] = None
    nats_url: Annotated[
        str,
        Field(
            description="NATS servers over which replicas tell each other to poll, and report their status: `nats://HOST:4222` "
            "or `tls://HOST:4222`, separated by commas; needs the extra `nats`"
        ),
    ] = ""
    nats_credentials_file: Annotated[
        Path | None,
        Field(description="file with `USER:PASSWORD` or a token for NATS, or its `.creds` file; read again for each connection"),
    ] = None  # fmt: skip
    record_uri: Annotated[
        str,
        Field(
            description="folder or store (such as `s3://BUCKET/records`) to which every prediction is recorded, as Parquet; "
            "needs the extra `record`"
        ),
    ] = ""
    record_when_full: Annotated[
        Literal["drop", "refuse"],
        Field(
            description="when a prediction cannot be recorded: `drop` answers without a record, `refuse` answers 503"
        ),
    ] = "drop"
    record_percent: Annotated[
        float, Field(gt=0, le=100, description="share of the requests that are recorded")
    ] = 100
    record_omit: Annotated[
        str,
        Field(
            description="features whose values are not recorded, separated by commas; `NAME:hash` records a keyed hash"
        ),
    ] = ""
    record_hash_key_file: Annotated[
        Path | None, Field(description="file with the key of those hashes, at least 16 bytes")
    ] = None
    record_seconds: Annotated[
        float, Field(gt=0, le=86_400, description="time after which recorded rows are written as a Parquet file")
    ] = 60  # fmt: skip
    record_days: Annotated[
        int, Field(ge=0, description="records of older days are deleted; 0 keeps them")
    ] = 0
    record_spool_dir: Annotated[
        Path | None,
        Field(description="folder for recorded rows until they are Parquet; default: `records` in the cache's folder"),
    ] = None  # fmt: skip
    record_max_bytes: Annotated[
        int, Field(ge=1_048_576, description="maximum size of that folder, for each worker")
    ] = 268_435_456
    drift_features: Annotated[
        int,
        Field(
            ge=0, le=10_000,
            description="the first so many features of a model are counted by bin of its training data, for alerts about drift; "
            "0 counts none, 200 is enough for most",
        ),
    ] = 0  # fmt: skip
    shadow_uri: Annotated[
        str,
        Field(
            description="a second version that computes the same rows and answers nobody, so that both can be compared: "
            "`models:/NAME/Staging`, `models:/NAME@ALIAS`, `models:/NAME/7`"
        ),
    ] = ""
    shadow_percent: Annotated[
        float, Field(gt=0, le=100, description="share of the computations that the shadow repeats")
    ] = 100
    shadow_max_bytes: Annotated[
        int, Field(ge=134_217_728, description="memory of the shadow's process; it is ended before it takes more")
    ] = 2_147_483_648  # fmt: skip
    allow_anonymous: Annotated[
        bool, Field(description="`true`: listen on other addresses than loopback without both key files")
    ] = False  # fmt: skip
    cors_origins: Annotated[
        str,
        Field(
            description="origins whose web pages may send requests, such as `https://app.example`, separated by commas"
        ),
    ] = ""
    max_model_bytes: Annotated[
        int, Field(ge=1, description="a version whose files are larger is not loaded")
    ] = 1_073_741_824
    load_seconds: Annotated[
        float,
        Field(gt=0, le=86_400, description="time to fetch, build and check a version; after it, the load fails"),
    ] = 300  # fmt: skip
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="minimum log level")
    ] = "info"
    traces_exporter: Annotated[
        Literal["none", "otlp", "console"],
        Field(
            validation_alias="OTEL_TRACES_EXPORTER",
            description="`otlp` or `console` sends traces; OpenTelemetry's other variables configure it; "
            "needs the extra `traces`",
        ),
    ] = "none"

    @field_validator("port", "grpc_port", mode="before")
    @classmethod
    def _no_service_link(cls, value: Any, info: ValidationInfo) -> Any:
        """The default instead of `tcp://…`, by which Kubernetes describes a Service named `predictor` in a pod."""
        if isinstance(value, str) and _SERVICE_LINK.match(value):
            return cls.model_fields[str(info.field_name)].default
        return value

    @field_validator("model_uri", "shadow_uri")
    @classmethod
    def _model_uri(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "shadow_uri":
            return ""
        uri = ModelUri.parse(value)
        if info.data.get("tracking_auth") == DATABRICKS:
            check_unity_catalog(uri)
        if info.field_name == "shadow_uri" and str(uri) == info.data.get("model_uri"):
            raise ValueError(f"{uri} serves already, by PREDICTOR_MODEL_URI; name another pointer")
        return str(uri)

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return plain_host(value)

    @field_validator("nats_url")
    @classmethod
    def _nats_servers(cls, value: str) -> str:
        return ",".join(_nats_server(each.strip()) for each in value.split(",") if each.strip())

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        return ",".join(origins.parse(value))

    @field_validator("cache_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError(
                f"{value} is below a home folder, and this user has none (no HOME, no entry in "
                "/etc/passwd); set PREDICTOR_CACHE_DIR to another folder"
            ) from None

    @classmethod
    def read(cls) -> "Settings":
        """The settings of this environment. Raises SettingsError, which names every wrong variable."""
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_faults(error))) from None


def _nats_server(text: str) -> str:
    """The URL of a NATS server. Raises ValueError, which does not quote it: it may contain a password."""
    url = urlsplit(text)
    if url.username or url.password or "@" in text:
        raise ValueError(
            "a URL contains credentials; put them into a file and set PREDICTOR_NATS_CREDENTIALS_FILE"
        )
    if url.scheme not in ("nats", "tls") or not url.hostname or url.path or url.query:
        raise ValueError("expected nats://HOST:PORT or tls://HOST:PORT, separated by commas")
    if url.port == 0:
        raise ValueError("port 0 cannot be connected to")
    return text


_CATALOG_LEVELS = 3


def check_unity_catalog(uri: ModelUri) -> None:
    """Raise ValueError for a URI that names no version in Unity Catalog."""
    if uri.kind == "stage":
        raise ValueError(
            f"{uri} names a stage, and models in Databricks' Unity Catalog have none; use an alias: "
            "models:/CATALOG.SCHEMA.NAME@ALIAS"
        )
    if len([each for each in uri.name.split(".") if each]) != _CATALOG_LEVELS:
        raise ValueError(
            f"{uri.name!r} is not the name of a model in Databricks' Unity Catalog, which is "
            "CATALOG.SCHEMA.NAME"
        )


def plain_host(text: str) -> str:
    """An address in its usual spelling, without brackets; a name unchanged. Raises ValueError."""
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host:
        raise ValueError("expected an address or a name of this machine, such as 127.0.0.1 or ::")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if address.version == 6 else None  # noqa: PLR2004
    return str(mapped or address)


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
