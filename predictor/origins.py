"""Origins of web addresses: scheme, host and port (RFC 6454)."""

import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """The scheme, host and port of a server. The port is always explicit."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, address: str) -> "Origin":
        """The origin of an http or https address. Raises ValueError."""
        parts = urlsplit(address)
        return cls(parts.scheme, *host_and_port(parts.netloc.rpartition("@")[2], parts.scheme))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def host_and_port(netloc: str, scheme: str) -> tuple[str, int]:
    """The host in lower case, and the port or the scheme's default port. Raises ValueError."""
    parts = urlsplit(f"//{netloc}")
    if not parts.hostname or "@" in netloc or scheme not in _PORTS or parts.port == 0:
        raise ValueError(f"{netloc!r} is not a host and port")
    return parts.hostname.rstrip("."), parts.port or _PORTS[scheme]


def parse_hosts(text: str, scheme: str) -> tuple[Origin, ...]:
    """The origins of a comma-separated list; hosts without a scheme get `scheme`. Raises ValueError."""
    listed = filter(None, (part.strip() for part in text.split(",")))
    return tuple(dict.fromkeys(_host(each, scheme) for each in listed))


def _host(text: str, scheme: str) -> Origin:
    address = text if "://" in text else f"{scheme}://{text}"
    origin = None
    with contextlib.suppress(ValueError):
        parts, origin = urlsplit(address), Origin.of(address)
        rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if rest or not origin.host.isascii() or set(origin.host) & set(" %*"):
            origin = None
    if origin is None:
        raise ValueError(
            "not a list of hosts; list each as `https://HOST:PORT` or `HOST:PORT`, without a path"
        )
    return origin


def parse(text: str) -> tuple[str, ...]:
    """The origins of a comma-separated list, each as a browser sends it. Raises ValueError.

    `*` is refused: with it, any web page could send requests from inside the network.
    """
    return tuple(dict.fromkeys(_origin(part.strip()) for part in text.split(",") if part.strip()))


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    else:
        rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
        if rest or parts.scheme not in _PORTS or not host.isascii() or set(host) & set("*%_ "):
            host = ""
    if not host:
        raise ValueError(
            f"{text!r} is not an origin; write each as `https://app.example` or `http://app.example:8080`, "
            "without a path, and not as `*`"
        )
    host = f"[{host}]" if ":" in host else host
    default = port in (None, _PORTS[parts.scheme])
    return f"{parts.scheme}://{host}" if default else f"{parts.scheme}://{host}:{port}"
