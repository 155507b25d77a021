"""Origins: whose pages may ask from a browser, as RFC 6454 writes them: scheme, host and port."""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse(text: str) -> tuple[str, ...]:
    """The origins of a list with commas, each as a browser sends it. Raises ValueError for any other.

    `*` is refused: it would let every page that anybody opens ask this service from inside the network.
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
        if (
            rest
            or parts.scheme not in _DEFAULT_PORTS
            or not host.isascii()
            or set(host) & set("*%_ ")
        ):
            host = ""
    if not host:
        raise ValueError(
            f"{text!r} is no origin; name each as `https://app.example` or `http://app.example:8080`, "
            "without a path, and not as `*`"
        )
    host = f"[{host}]" if ":" in host else host
    default = port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}" if default else f"{parts.scheme}://{host}:{port}"
