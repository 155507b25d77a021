"""Proxy: the HTTP proxy for requests to the registry, from environment variables.

The variables are those of curl and of MLflow's clients: `https_proxy` or `http_proxy`, by the scheme of the
address, then `all_proxy`, each also in capitals, and `no_proxy` for hosts that are reached without the proxy.
"""

import base64
import contextlib
import ipaddress
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from predictor.errors import SettingsError

_SOCKS = {"socks5", "socks5h"}
_SCHEMES = {"http", "https"} | _SOCKS


@dataclass(frozen=True)
class Proxy:
    """A proxy. Its `url` may contain a password; `str` shows only the host, the port and the variable."""

    variable: str
    url: str = field(repr=False)

    @classmethod
    def of(cls, address: str) -> "Proxy | None":
        """The proxy for an address, or None for a direct connection.

        Raises SettingsError for an invalid setting.
        """
        found = proxy_setting(address)
        return cls(*found) if found else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password, plain and as in the header, to remove from a proxy's error, which may repeat it."""
        parts = urlsplit(self.url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return (base64.b64encode(f"{user}:{password}".encode()).decode(), password)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"the proxy {host}{port} ({self.variable})"


def proxy_setting(address: str) -> tuple[str, str] | None:
    """The variable that names the proxy for an address, and the proxy's URL. Raises SettingsError."""
    parts = urlsplit(address)
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if url := os.environ.get(variable, "").strip():
                return None if _bypassed(parts.netloc) else (variable, _checked(variable, url))
    return None


def _bypassed(netloc: str) -> bool:
    """Whether `no_proxy` lists the host: by name, parent domain, address or network."""
    parts = urlsplit(f"//{netloc}")
    host, port = parts.hostname or "", parts.port
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip().lower() for name in listed.split(",")]
    if "*" in names:
        return True
    for each in (name.lstrip("*.") for name in names):
        # An IPv6 address may be written with brackets or without.
        plain = each.replace("[", "").replace("]", "")
        if each and (host == plain or host.endswith(f".{each}") or f"{host}:{port}" == plain):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(plain, strict=False):
                return True
    return False


def _checked(variable: str, url: str) -> str:
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in url or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise SettingsError(f"{variable}: not the address of a proxy; write http://HOST:PORT")
    if parts.scheme not in _SCHEMES:
        raise SettingsError(
            f"{variable}: only {', '.join(sorted(_SCHEMES))} proxies are supported, not {parts.scheme}"
        )
    if parts.scheme in _SOCKS and find_spec("socksio") is None:
        raise SettingsError(
            f"{variable}: {parts.scheme} needs the package socksio, which is not installed; "
            "install it, or name a proxy of http://"
        )
    return url
