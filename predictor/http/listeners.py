"""Listening sockets, and as many descriptors as their connections need."""

import errno
import resource
import socket
from typing import Any

from predictor.errors import SettingsError
from predictor.log_events import DESCRIPTORS_LIMITED

_BACKLOG = 2048  # connections that wait to be accepted, for each socket
# What bind says of an address that is not this machine's, or of a family that it does not have.
_NOT_OURS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, before anything is started: a port in use leaves nothing to stop.

    `::` is every address of both families. Raises SettingsError for a host that cannot be listened
    on, OSError for a port.
    """
    return _listen(host, port, shared=False)


def listen_together(host: str, port: int, count: int) -> list[socket.socket]:
    """Several sockets that listen on one port, with SO_REUSEPORT. Raises as `listen` does.

    Each new connection waits at one of them. With port 0 they have the same one, which was free.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(
            "this system cannot share a port (no SO_REUSEPORT); PREDICTOR_WORKERS must be 1"
        )
    # Without the option: who has the port already is not one of ours.
    with _listen(host, port, shared=False) as probe:
        port = probe.getsockname()[1]
    return [_listen(host, port, shared=True) for _ in range(count)]


def numeric(host: str, port: int) -> str:
    """The address that `listen` would listen on, in numbers: `127.0.0.1:9000`, `[::1]:9000`."""
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
        if error.errno in _NOT_OURS:
            raise _unusable(host, "it is not an address of this machine") from None
        raise


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The family and the address of a host: of one that has both, that of IPv4."""
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


# Beside the clients' connections: those to the registry, those that are being refused, the cache's
# files, the log, the event loop's own, and what workers share.
OTHERS = 128


def allow(connections: int) -> None:
    """Raise the soft limit to what this many connections need; workers inherit it.

    Where the hard limit is lower, the soft one is raised to that, and the log says so: connections
    beyond it are not refused with 503, they wait until another one ends.
    """
    needed = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a lower one that it does not tell
        allowed = soft
    if allowed < needed:
        DESCRIPTORS_LIMITED.log(needed=needed, allowed=allowed,
            next="raise the hard limit (`ulimit -Hn`), or lower PREDICTOR_MAX_CONNECTIONS",
        )  # fmt: skip
