"""The proxy for the registry: curl's variables are checked, and errors name them without the password."""

import pytest

from predictor.errors import RegistryUnreachable
from predictor.model_version import ModelUri
from predictor.proxy import Proxy
from predictor.registry.client import tracking_server
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings
from tests.predictor.parts import http, raw_server

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_is_set(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "address", "used"),
    [
        ("http_proxy", "http://r", True), ("HTTP_PROXY", "http://r", True), ("ALL_PROXY", "http://r", True),
        ("http_proxy", "https://r", False), ("HTTPS_PROXY", "https://r", True), ("all_proxy", "https://r", True),
    ],
)  # fmt: skip
def test_the_variable_of_the_scheme_counts(monkeypatch, name, address, used):
    """Then the one for all."""
    monkeypatch.setenv(name, "http://u:s3cret@p:3128")
    proxy = Proxy.of(address)
    assert (proxy is not None) == used
    assert proxy is None or str(proxy) == f"the proxy p:3128 ({name})"
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize(
    ("listed", "address", "direct"),
    [
        ("*", "http://r", True), ("r", "http://r:5000", True), ("r:5000", "http://r:5000", True),
        ("r:5001", "http://r:5000", False), (".example", "http://r.example", True), ("example", "http://r.example", True),
        ("*.example", "http://r.example", True), ("ample", "http://r.example", False), ("R.Example", "http://r.example", True),
        ("[::1]", "http://[::1]:5000", True), ("::1", "http://[::1]:5000", True), ("[::1]", "http://r", False),
        ("10.0.0.0/8", "http://10.1.2.3:5000", True), ("10.0.0.0/8", "http://11.1.2.3", False), ("fd00::/8", "http://[fd00::1]", True),
        ("10.0.0.0/99, ,,[", "http://10.1.2.3", False), ("", "http://r", False), ("other, r", "http://r", True),
    ],
)  # fmt: skip
def test_hosts_reached_without_the_proxy(monkeypatch, listed, address, direct):
    """By name, domain, address or network; an invalid entry matches nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://p:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (Proxy.of(address) is None) == direct


@pytest.mark.parametrize(
    "answer", [http("407 Proxy Authentication Required"), http("502 Bad Gateway"), b""]
)
async def test_a_proxy_that_fails_is_named(monkeypatch, answer):
    """The error names the proxy, without its password."""
    async with raw_server(answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("http://", "http://u:s3cret@"))
        settings = Settings.model_validate({"MLFLOW_TRACKING_URI": "http://mlflow.example"})
        server = tracking_server(settings)
        with pytest.raises(RegistryUnreachable) as caught:
            await RegistryClient(server, ModelUri.parse("models:/m/1")).aspired()
        await server.close()
    assert f"through the proxy {proxy.removeprefix('http://')} (HTTP_PROXY)" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_tunnel_that_a_proxy_refuses(monkeypatch):
    """For https; the error has the proxy's status, and not its text."""
    async with raw_server(http("403 s3cret")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        settings = Settings.model_validate({"MLFLOW_TRACKING_URI": "https://mlflow.example"})
        server = tracking_server(settings)
        with pytest.raises(RegistryUnreachable, match=r"the proxy answers HTTP 403") as caught:
            await RegistryClient(server, ModelUri.parse("models:/m/1")).aspired()
        await server.close()
    assert "s3cret" not in str(caught.value)
