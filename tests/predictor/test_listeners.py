"""Sockets: one, or several on one port, and never one that somebody else has."""

import socket
from contextlib import ExitStack

import pytest

from predictor.http.listeners import listen, listen_together, numeric


def address(listener):
    return listener.getsockname()[:2]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_several_have_one_port(host):
    """Also where the system picks it; connections wait at each."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in listen_together(host, 0, 3)]
        assert len({address(each) for each in listeners}) == 1
        for listener in listeners:
            listener.settimeout(0.01)
        reached = set()
        while len(reached) < 3:  # where each of 3 has its share, a hundred connections are plenty
            stack.enter_context(socket.create_connection(address(listeners[0])))
            for number, listener in enumerate(listeners):
                try:
                    stack.enter_context(listener.accept()[0])
                    reached.add(number)
                except TimeoutError:
                    continue


def test_a_port_in_use_is_not_shared():
    """Neither with a stranger, nor with another service of ours."""
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen_together("127.0.0.1", address(taken)[1], 2)
    first, second = listen_together("127.0.0.1", 0, 2)
    with first, second:
        for start in (listen, lambda *a: listen_together(*a, 2)):
            with pytest.raises(OSError, match="in use"):
                start("127.0.0.1", address(first)[1])


def test_a_system_that_cannot_share_a_port_says_so(monkeypatch):
    """With the setting to change."""
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    with pytest.raises(OSError, match="PREDICTOR_WORKERS must be 1"):
        listen_together("127.0.0.1", 0, 2)


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1:9"), ("localhost", "127.0.0.1:9"), ("::1", "[::1]:9")],
)
def test_an_address_in_numbers(host, address):
    """What HTTP listens on at a name, gRPC does."""
    assert numeric(host, 9) == address
