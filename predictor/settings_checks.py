"""Checks of the settings and of the packages that they need, before the service starts."""

import contextlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from fsspec import get_filesystem_class

from fleet import sign_in
from predictor.access import KINDS
from predictor.errors import KeysError, SettingsError
from predictor.keys import read_keys, read_small_file
from predictor.origins import Origin
from predictor.proxy import proxy_setting
from predictor.registry.credentials import check_credentials
from predictor.registry.webhooks import check_webhook_secret
from predictor.settings import Settings, plain_host, variable
from predictor.tls import check_tls, registry_tls


def check(settings: Settings) -> None:
    """Raise SettingsError for the first setting that cannot be used. Starts nothing."""
    check_exposure(settings)
    _check_keys(settings)
    check_tls(settings)
    registry_tls(settings)
    check_credentials(settings)
    for address in (settings.tracking_uri, *map(str, settings.other_hosts)):
        proxy_setting(address)
    check_uvicorn()
    check_traces(settings)
    check_grpc(settings)
    check_approvers(settings)
    check_nats(settings)
    check_record(settings)
    check_webhook_secret(settings.webhook_secret_file)


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The variables that begin with PREDICTOR_ and are no setting, each with the most similar setting.

    Variables by which Kubernetes describes a Service, such as PREDICTOR_SERVICE_HOST, are left out.
    """
    known = [variable(field) for field in Settings.model_fields]
    services = [name.removesuffix(_HOST) for name in environment if name.endswith(_HOST)]
    return {
        name: _similar(name, known)
        for name in sorted(environment)
        # As pydantic-settings reads them: in upper and lower case.
        if name.upper().startswith("PREDICTOR_")
        and name.upper() not in known
        and not any(_describes(name, service) for service in services)
    }


_HOST = "_SERVICE_HOST"
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def _describes(name: str, service: str) -> bool:
    return name.startswith(service) and bool(_SERVICE_LINK.fullmatch(name, len(service)))


def _similar(name: str, known: Sequence[str]) -> str | None:
    import difflib  # only a wrong name needs it

    # Without the prefixes, so that PREDICTOR_TRACKING_URI is similar to MLFLOW_TRACKING_URI.
    names = {each.partition("_")[2]: each for each in known}
    found = difflib.get_close_matches(name.upper().partition("_")[2], names, n=1, cutoff=0.7)
    return names[found[0]] if found else None


_OTLP_PROTOCOL = "http/protobuf"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ *= *[!-+\--:<-\[\]-~]*", re.ASCII)


def _is_headers(text: str) -> bool:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return all(
        _HEADER.fullmatch(part) and (found := unquote(part)).isascii() and found.isprintable()
        for part in parts
    )


def _is_url(text: str) -> bool:
    with contextlib.suppress(ValueError):
        Origin.of(text)
        return text.isascii() and text.isprintable() and " " not in text
    return False


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return 0 < float(text) < float("inf")
    return False


def _is_file(text: str) -> bool:
    return Path(text).is_file()


_OTLP: Mapping[str, tuple[Callable[[str], object], str]] = {
    "PROTOCOL": (lambda text: text == _OTLP_PROTOCOL, f"only {_OTLP_PROTOCOL} is supported"),
    "HEADERS": (_is_headers, "not a list `name=value,name=value`, percent-encoded"),
    "ENDPOINT": (_is_url, "not an address such as http://collector:4318"),
    "TIMEOUT": (_is_number, "not a number of seconds"),
    "COMPRESSION": (lambda text: text in {"none", "gzip", "deflate"}, "none, gzip or deflate"),
    "CERTIFICATE": (_is_file, "not a file"),
    "CLIENT_KEY": (_is_file, "not a file"),
    "CLIENT_CERTIFICATE": (_is_file, "not a file"),
}
"""Variables of OpenTelemetry's exporter: the check of each, and the error if it fails."""


UVICORN = ((0, 54), (0, 55))
"""The first supported version and the first unsupported one, as in `pyproject.toml`."""


def check_uvicorn() -> None:
    """Raise SettingsError for a uvicorn or httptools on which our limits on connections do not work."""
    first, end = (".".join(map(str, each)) for each in UVICORN)
    found = {name: _version(name) for name in ("uvicorn", "httptools")}
    release = tuple(int(part) for part in re.findall(r"\d+", found["uvicorn"])[:2])
    if not UVICORN[0] <= release < UVICORN[1] or not found["httptools"]:
        listed = ", ".join(f"{name} {number or 'none'}" for name, number in found.items())
        raise SettingsError(
            f"connections would have no limits with the installed packages ({listed}): "
            f"install uvicorn>={first},<{end} and httptools, as in requirements/predictor.txt"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def check_traces(settings: Settings) -> None:
    """Raise SettingsError if traces are switched on but cannot be sent."""
    exporter = settings.traces_exporter
    if exporter == "none":
        return
    # Other packages install OpenTelemetry's API; sending needs these two.
    for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        if not _installed(name):
            raise SettingsError(
                f"OTEL_TRACES_EXPORTER is {exporter}, and {name} is not installed; {_remedy('traces')}"
            )
    if exporter == "otlp":
        for name, (is_valid, fault) in _OTLP.items():
            for variable in (f"OTEL_EXPORTER_OTLP_{name}", f"OTEL_EXPORTER_OTLP_TRACES_{name}"):
                # OpenTelemetry's own error would quote the value, which may be a secret.
                if (value := os.environ.get(variable, "").strip()) and not is_valid(value):
                    raise SettingsError(f"{variable}: {fault}")


def check_grpc(settings: Settings) -> None:
    """Raise SettingsError if a gRPC port is set but grpcio is not installed."""
    if settings.grpc_port is not None and not _installed("grpc"):
        raise SettingsError(
            f"PREDICTOR_GRPC_PORT is {settings.grpc_port}, and grpcio is not installed; {_remedy('grpc')}"
        )


def check_approvers(settings: Settings) -> None:
    """Raise SettingsError for a file of approvers that cannot be used, or without the package to check signatures."""
    path = settings.approvers_file
    if path is None:
        return
    if not _installed("cryptography"):
        raise SettingsError(
            f"PREDICTOR_APPROVERS_FILE is {path}, and cryptography is not installed; {_remedy('approvals')}"
        )
    from predictor.approval.files import ApproversFile  # cryptography is an extra

    ApproversFile(path)


def check_nats(settings: Settings) -> None:
    """Raise SettingsError if a NATS server is set, and its package or its credentials are missing."""
    if not settings.nats_url:
        return
    for module, package in (("nats", "nats-py"), ("cryptography", "cryptography")):
        if not _installed(module):
            raise SettingsError(
                f"PREDICTOR_NATS_URL is set, and {package} is not installed; {_remedy('nats')}"
            )
    if settings.nats_credentials_file is None:
        return
    path = settings.nats_credentials_file
    try:
        sign_in.options(read_small_file(path, sign_in.MAX_BYTES))
    except OSError as error:
        raise SettingsError(f"PREDICTOR_NATS_CREDENTIALS_FILE: {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"PREDICTOR_NATS_CREDENTIALS_FILE: {path}: {error}") from None


def check_record(settings: Settings) -> None:
    """Raise SettingsError for settings of recording that cannot be used, or without the package that writes."""
    if not settings.record_uri:
        return
    if not _installed("pyarrow"):
        raise SettingsError(
            f"PREDICTOR_RECORD_URI is set, and pyarrow is not installed; {_remedy('record')}"
        )
    scheme = settings.record_uri.partition("://")[0] if "://" in settings.record_uri else "file"
    try:
        get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        raise SettingsError(f"PREDICTOR_RECORD_URI: {error}") from None
    from predictor.recording.recording import omissions

    omissions(settings)


def _remedy(extra: str) -> str:
    return f"pip install 'mlflow-hotswap[{extra}]', or build the image with EXTRAS={extra}"


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is its parent package
        return False


def _check_keys(settings: Settings) -> None:
    for kind in KINDS:
        path = getattr(settings, kind)
        try:
            if path is not None:
                read_keys(path)
        except KeysError as error:
            raise SettingsError(f"{variable(kind)}: {error}") from None


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError if other machines could send requests without a key."""
    missing = [variable(kind) for kind in KINDS if getattr(settings, kind) is None]
    if missing and not settings.allow_anonymous and not is_loopback(settings.host):
        raise SettingsError(
            f"PREDICTOR_HOST: other machines reach {settings.host}, and no key is required: "
            f"set {' and '.join(missing)} (`python -m predictor.keys NAME` makes a key), "
            "or PREDICTOR_ALLOW_ANONYMOUS=true"
        )


def is_loopback(host: str) -> bool:
    """Whether an address is for this machine only: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(plain_host(host)).is_loopback
    except ValueError:
        return False
