"""Listening sockets: one for one process, or several on one port, among which the kernel spreads."""

import socket

_BACKLOG = 2048  # connections that wait to be accepted, for each socket


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, before anything is started: a port in use leaves nothing to stop."""
    return socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)


def listen_together(host: str, port: int, count: int) -> list[socket.socket]:
    """Several sockets that listen on one port, with SO_REUSEPORT. Raises OSError.

    Each new connection waits at one of them. With port 0 they have the same one, which was free.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(
            "this system cannot share a port (no SO_REUSEPORT); PREDICTOR_WORKERS must be 1"
        )
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # Without the option: who has the port already is not one of ours.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        port = probe.getsockname()[1]
    return [
        socket.create_server((host, port), family=_family(host), backlog=_BACKLOG, reuse_port=True)
        for _ in range(count)
    ]


def numeric(host: str, port: int) -> str:
    """The address that `listen` would listen on, in numbers: `127.0.0.1:9000`, `[::1]:9000`."""
    found = socket.getaddrinfo(host, port, _family(host), socket.SOCK_STREAM)
    address = str(found[0][4][0])
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
