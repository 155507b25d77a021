"""Sockets: one, or several on one port, and never one that somebody else has."""

import socket
from contextlib import ExitStack

import pytest

from predictor.errors import SettingsError
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


@pytest.mark.parametrize("together", [False, True])
def test_every_address_of_both_families(together):
    """`::` is IPv4, too; an address of one family is that family's alone."""
    for host, reached in (
        ("::", {"127.0.0.1", "::1"}),
        ("::1", {"::1"}),
        ("0.0.0.0", {"127.0.0.1"}),
    ):
        with ExitStack() as stack:
            listeners = listen_together(host, 0, 2) if together else [listen(host, 0)]
            for each in listeners:
                stack.enter_context(each)
            port = address(listeners[0])[1]
            for client in ("127.0.0.1", "::1"):
                if client in reached:
                    socket.create_connection((client, port), timeout=20).close()
                else:
                    with pytest.raises(ConnectionRefusedError):
                        socket.create_connection((client, port), timeout=20)


@pytest.mark.parametrize(
    "host",
    ["192.0.2.1", "2001:db8::1", "no-such-name.invalid", "a..b", "a" * 64, "[::", "1.2.3.4.5"],
)
def test_a_host_that_cannot_be_listened_on_is_named(host):
    """With what could be, in one line."""
    for start in (listen, lambda *each: listen_together(*each, 2)):
        with pytest.raises(SettingsError, match="PREDICTOR_HOST: cannot listen on") as caught:
            start(host, 0)
        assert host in str(caught.value)
        assert "\n" not in str(caught.value)
