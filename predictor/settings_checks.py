"""Checks of the settings, and of the packages that they need, before anything starts."""

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
    """Raise SettingsError for the first setting that cannot be used. Nothing is started."""
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


_SPOKEN = "http/protobuf"
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
    "PROTOCOL": (lambda text: text == _SPOKEN, f"only {_SPOKEN} is spoken here"),
    "HEADERS": (_is_headers, "not a list `name=value,name=value`, percent-encoded"),
    "ENDPOINT": (_is_url, "not an address such as http://collector:4318"),
    "TIMEOUT": (_is_number, "not a number of seconds"),
    "COMPRESSION": (lambda text: text in {"none", "gzip", "deflate"}, "none, gzip or deflate"),
    "CERTIFICATE": (_is_file, "not a file"),
    "CLIENT_KEY": (_is_file, "not a file"),
    "CLIENT_CERTIFICATE": (_is_file, "not a file"),
}
"""OpenTelemetry's variables about its exporter: what they have to be, and how that is said."""


UVICORN = ((0, 54), (0, 55))
"""The first supported version, and the first one that is not: as in `pyproject.toml`."""


def check_uvicorn() -> None:
    """Raise SettingsError for a uvicorn or httptools on which our limits on connections do not work."""
    first, end = (".".join(map(str, each)) for each in UVICORN)
    found = {name: _version(name) for name in ("uvicorn", "httptools")}
    release = tuple(int(part) for part in re.findall(r"\d+", found["uvicorn"])[:2])
    if not UVICORN[0] <= release < UVICORN[1] or not found["httptools"]:
        listed = ", ".join(f"{name} {number or 'none'}" for name, number in found.items())
        raise SettingsError(
            f"connections would have no limits with what is installed ({listed}): "
            f"install uvicorn>={first},<{end} and httptools, as requirements/predictor.txt has them"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def check_traces(settings: Settings) -> None:
    """Raise SettingsError where traces are asked for that cannot be sent."""
    exporter = settings.traces_exporter
    if exporter == "none":
        return
    # Of opentelemetry itself, other packages install the part that only names things.
    for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        if not _installed(name):
            raise SettingsError(
                f"OTEL_TRACES_EXPORTER is {exporter}, and {name} is not installed; "
                "requirements/traces.txt has it"
            )
    if exporter == "otlp":
        for name, (fits, takes) in _OTLP.items():
            for variable in (f"OTEL_EXPORTER_OTLP_{name}", f"OTEL_EXPORTER_OTLP_TRACES_{name}"):
                # What OpenTelemetry says of a value that it cannot read quotes it, secrets included.
                if (value := os.environ.get(variable, "").strip()) and not fits(value):
                    raise SettingsError(f"{variable}: {takes}")


def check_grpc(settings: Settings) -> None:
    """Raise SettingsError where gRPC is asked for that cannot be spoken."""
    if settings.grpc_port is not None and not _installed("grpc"):
        raise SettingsError(
            f"PREDICTOR_GRPC_PORT is {settings.grpc_port}, and grpcio is not installed; "
            "requirements/grpc.txt has it"
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it is in
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
    """Raise SettingsError where others than this machine could ask without a key."""
    missing = [variable(kind) for kind in KINDS if getattr(settings, kind) is None]
    if missing and not settings.allow_anonymous and not is_loopback(settings.host):
        raise SettingsError(
            f"PREDICTOR_HOST: others than this machine reach {settings.host}, and anybody could ask: "
            f"set {' and '.join(missing)} (`python -m predictor.keys NAME` makes a key), "
            "or PREDICTOR_ALLOW_ANONYMOUS=true"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(plain_host(host)).is_loopback
    except ValueError:
        return False
