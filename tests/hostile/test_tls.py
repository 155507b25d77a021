"""https: served with a certificate; without a good one the process does not start."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from demo.processes import ROOT, Child, free_port, predictor_python, predictor_settings, spawn
from predictor.errors import SettingsError
from predictor.settings import Settings
from predictor.tls import check_tls
from tests.end_to_end.parts import wait_until
from tests.hostile.certificates import Pair, make

NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    """Two pairs that do not belong together."""
    return make(tmp_path_factory.mktemp("one")), make(tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize(
    "in_one_file",
    [
        pytest.param(False, id="two files"),
        pytest.param(True, id="one file", marks=pytest.mark.whole),
    ],
)
def test_it_serves_https(pairs: tuple[Pair, Pair], tmp_path: Path, in_one_file: bool) -> None:
    """With the certificate that was set; who speaks plain HTTP to it is closed on, and harms nobody."""
    pair, port = pairs[0], free_port()
    certificate = pair.both if in_one_file else pair.certificate
    env = NOWHERE | predictor_settings(tmp_path, port)
    env |= {"PREDICTOR_TLS_CERTIFICATE": str(certificate), "PREDICTOR_HEADER_SECONDS": "1"}
    env |= {} if in_one_file else {"PREDICTOR_TLS_KEY": str(pair.key)}
    url = f"https://127.0.0.1:{port}"
    child = spawn([predictor_python(), "-m", "predictor"], url, tmp_path / "log", env)
    try:
        trust = ssl.create_default_context(cafile=str(pair.certificate))
        with httpx.Client(base_url=url, verify=trust, timeout=20) as client:
            wait_until(lambda: _answers(client), "it answers over https")
            with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"HTTP" not in plain.recv(65536)
            assert client.get("/health").http_version == "HTTP/1.1"
            assert client.post("/predict", json={}).status_code == 503
            too_much = client.get("/health", headers={"a": "b" * 50_000})
            assert too_much.status_code == 431
            health = [predictor_python(), "-m", "predictor.healthcheck"]
            asked = subprocess.run(health, cwd=ROOT, env={**os.environ, **env}, check=False)
            assert asked.returncode == 0
    finally:
        assert child.stop() == 0
    assert "Traceback" not in child.log.read_text()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
@pytest.mark.whole
def test_handshakes_that_never_end_are_bounded(
    pairs: tuple[Pair, Pair], tmp_path: Path, sent: bytes
) -> None:
    """They count as connections, and have the time of a request's head."""
    port, most = free_port(), 20
    env = NOWHERE | predictor_settings(tmp_path, port)
    env |= {
        "PREDICTOR_TLS_CERTIFICATE": str(pairs[0].both), "PREDICTOR_HEADER_SECONDS": "5",
        "PREDICTOR_MAX_CONNECTIONS": str(most),
    }  # fmt: skip
    url = f"https://127.0.0.1:{port}"
    child = spawn([predictor_python(), "-m", "predictor"], url, tmp_path / "log", env)
    try:
        trust = ssl.create_default_context(cafile=str(pairs[0].certificate))
        with httpx.Client(base_url=url, verify=trust, timeout=20) as client, ExitStack() as stack:
            wait_until(lambda: _answers(client), "it answers over https")
            before = _descriptors(child)
            silent = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                for _ in range(5 * most)
            ]
            for each in silent:
                with contextlib.suppress(ConnectionError):
                    each.sendall(sent)
            wait_until(
                lambda: sum(map(_is_closed, silent)) >= 4 * most, "all beyond the limit are closed"
            )
            assert _descriptors(child) <= before + most
            wait_until(lambda: all(map(_is_closed, silent)), "the others are given up")
            with httpx.Client(base_url=url, verify=trust, timeout=20) as late:
                assert late.get("/health").status_code == 200
                assert 'code="503"' in late.get("/metrics").text
    finally:
        assert child.stop() == 0
    assert "Traceback" not in child.log.read_text()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def _descriptors(child: Child) -> int:
    return sum(1 for _ in Path(f"/proc/{child.process.pid}/fd").iterdir())


def _is_closed(client: socket.socket) -> bool:
    """Whether the server has closed it."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_without_a_good_pair_it_does_not_start(pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    """One line that names the variables and what is wrong, exit code 2, nothing started."""
    env = {**os.environ, **NOWHERE, **predictor_settings(tmp_path, free_port())}
    env |= {
        "PREDICTOR_TLS_CERTIFICATE": str(pairs[0].certificate),
        "PREDICTOR_TLS_KEY": str(pairs[1].key),
    }
    ended = subprocess.run(
        [predictor_python(), "-m", "predictor"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "PREDICTOR_TLS_CERTIFICATE, PREDICTOR_TLS_KEY: " in ended.stderr
    assert "key values mismatch" in ended.stderr
    assert not (tmp_path / "cache").exists()


def test_an_invalid_certificate_or_key_is_named(pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    """By the variable's name; nobody is asked for a password."""
    one, other = pairs
    nonsense, missing = tmp_path / "nonsense.pem", tmp_path / "missing.pem"
    nonsense.write_text("not a certificate")
    wrong: dict[str, tuple[Path | None, Path | None]] = {
        f"PREDICTOR_TLS_CERTIFICATE: {missing}: No such file": (missing, one.key),
        f"PREDICTOR_TLS_KEY: {missing}: No such file": (one.certificate, missing),
        "PREDICTOR_TLS_KEY is set, but not PREDICTOR_TLS_CERTIFICATE": (None, one.key),
        "Is a directory": (tmp_path, one.key),
        "key values mismatch": (one.certificate, other.key),
        "cannot be used: not pem": (nonsense, one.key),
        "this pair cannot be used: ": (one.certificate, nonsense),
        "PREDICTOR_TLS_CERTIFICATE, PREDICTOR_TLS_KEY: ": (one.certificate, one.encrypted_key),
        "PREDICTOR_TLS_CERTIFICATE, PREDICTOR_TLS_KEY": (one.certificate, None),
    }
    for said, (certificate, key) in wrong.items():
        chosen = Settings(**NOWHERE, tls_certificate=certificate, tls_key=key)
        with pytest.raises(SettingsError, match=re.escape(said)) as caught:
            check_tls(chosen)
        assert "\n" not in str(caught.value)
    check_tls(Settings(**NOWHERE, tls_certificate=one.certificate, tls_key=one.key))
    check_tls(Settings(**NOWHERE, tls_certificate=one.both))
