"""Checks of the settings and of the packages that they need, before the service starts."""

import contextlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from predictor.access import KINDS
from predictor.errors import KeysError, SettingsError
from predictor.keys import read_keys
from predictor.origins import Origin
from predictor.proxy import proxy_setting
from predictor.registry.webhooks import check_webhook_secret
from predictor.settings import Settings, plain_host, variable
from predictor.tls import check_tls, registry_tls


def check(settings: Settings) -> None:
    """Raise SettingsError for the first setting that cannot be used. Starts nothing."""
    check_exposure(settings)
    _check_keys(settings)
    check_tls(settings)
    registry_tls(settings)
    for address in (settings.tracking_uri, *map(str, settings.other_hosts)):
        proxy_setting(address)
    check_uvicorn()
    check_traces(settings)
    check_grpc(settings)
    check_webhook_secret(settings.webhook_secret_file)


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
                f"OTEL_TRACES_EXPORTER is {exporter}, and {name} is not installed; "
                "requirements/traces.txt has it"
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
            f"PREDICTOR_GRPC_PORT is {settings.grpc_port}, and grpcio is not installed; "
            "requirements/grpc.txt has it"
        )


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
