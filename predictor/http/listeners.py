"""Listening sockets, and the file descriptors that connections need."""

import errno
import resource
import socket
from typing import Any

from predictor.errors import SettingsError
from predictor.log_events import DESCRIPTORS_LIMITED

_BACKLOG = 2048  # connections of each socket that wait to be accepted
# Errors of bind for an address that this machine does not have.
_FOREIGN = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. `::` means every address of IPv4 and IPv6.

    Raises SettingsError for an unusable host, OSError for an unusable port.
    """
    return _listen(host, port, shared=False)


def listen_together(host: str, port: int, count: int) -> list[socket.socket]:
    """Sockets that share one port with SO_REUSEPORT. Raises as `listen` does.

    The system gives each new connection to one of them. Port 0 means a free port, the same for all.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(
            "this system cannot share a port (no SO_REUSEPORT); PREDICTOR_WORKERS must be 1"
        )
    # Without the option, so that a port of another process is an error.
    with _listen(host, port, shared=False) as probe:
        port = probe.getsockname()[1]
    return [_listen(host, port, shared=True) for _ in range(count)]


def numeric(host: str, port: int) -> str:
    """The address of `listen` in numbers, such as `127.0.0.1:9000` or `[::1]:9000`."""
    address = _resolve(host, port)[1][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    family, address = _resolve(host, port)
    both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            address, family=family, backlog=_BACKLOG, reuse_port=shared, dualstack_ipv6=both
        )
    except OSError as error:
        if error.errno in _FOREIGN:
            raise _unusable(host, "it is not an address of this machine") from None
        raise


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The family and the address of a host. IPv4 comes first."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a name"
        raise _unusable(host, reason or str(error)) from None
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _unusable(host: str, reason: str) -> SettingsError:
    return SettingsError(
        f"PREDICTOR_HOST: cannot listen on {host!r}: {reason}; name an address of this machine, "
        "0.0.0.0 for all of IPv4, or :: for all of IPv4 and IPv6"
    )


# Descriptors beside clients' connections: connections to the registry, refused connections, files,
# the log, the event loop and the workers' sockets.
OTHERS = 128


def allow(connections: int) -> None:
    """Raise the soft limit of file descriptors for so many connections. Workers inherit it.

    The hard limit may be too low. Then the log says so, and connections beyond it are not refused
    with 503 but wait until another one ends.
    """
    needed = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a lower limit that it does not report
        allowed = soft
    if allowed < needed:
        DESCRIPTORS_LIMITED.log(needed=needed, allowed=allowed,
            next="raise the hard limit (`ulimit -Hn`), or lower PREDICTOR_MAX_CONNECTIONS",
        )  # fmt: skip
