"""How requests to the registry are signed in: a token in a file, and plugins, with real files and servers."""

import asyncio
import contextlib
import subprocess
import sys

import httpx
import pytest
import structlog

from predictor.errors import (
    RegistryInvalidResponse,
    RegistryRefused,
    RegistryUnreachable,
    SettingsError,
)
from predictor.model_version import ModelUri
from predictor.registry.client import TrackingServer, tracking_server
from predictor.registry.credentials import TokenFile
from predictor.registry.sign_in import SignIn, sign_in
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings
from predictor.settings_checks import check
from tests.predictor.parts import http, raw_server

FOUND = b'{"model_version": {"name": "m", "version": "7"}}'
PINNED = ModelUri.parse("models:/m/7")


def settings(address="http://127.0.0.1:1", **more):
    return Settings.model_validate({"MLFLOW_TRACKING_URI": address, **more})


class Guarded:
    """A registry that accepts one bearer token, and records the credentials of each request."""

    def __init__(self, token):
        self.token = token
        self.seen = []

    async def __call__(self, head, writer):
        fields = dict(
            line.split(b": ", 1) for line in head.lower().splitlines()[1:] if b": " in line
        )
        sent = fields.get(b"authorization", b"").decode()
        self.seen.append(sent.removeprefix("bearer "))
        refused = http("401 Unauthorized", f"not {sent}".encode())
        writer.write(http("200 OK", FOUND) if sent == f"bearer {self.token}".lower() else refused)


async def aspired(server):
    return (await RegistryClient(server, PINNED).aspired()).version


class TestTokenFile:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "token"
        path.write_text("one\n")
        return path

    async def test_the_file_is_read_again_for_each_request(self, path):
        """A rotated token is sent with the next request; a log line says that it changed."""
        registry = Guarded("one")
        async with raw_server(registry) as address:
            server = tracking_server(settings(address, MLFLOW_TRACKING_TOKEN_FILE=str(path)))
            assert await aspired(server) == "7"
            registry.token = "two"
            path.write_text("two")
            with structlog.testing.capture_logs() as lines:
                assert await aspired(server) == "7"
                assert await aspired(server) == "7"
            await server.close()
        assert registry.seen == ["one", "two", "two"]
        assert [line["event"] for line in lines] == ["token_read"]

    async def test_a_token_that_was_rotated_during_a_request_is_sent_once_more(self, path):
        """And a token that is refused is sent once only."""
        registry = Guarded("two")

        async def rotate(head, writer):
            path.write_text("two")  # after the file was read for the first request
            await registry(head, writer)

        async with raw_server(rotate) as address:
            server = tracking_server(settings(address, MLFLOW_TRACKING_TOKEN_FILE=str(path)))
            assert await aspired(server) == "7"
            registry.token = "three"
            with pytest.raises(RegistryRefused, match="MLFLOW_TRACKING_TOKEN_FILE"):
                await aspired(server)
            await server.close()
        assert registry.seen == ["one", "two", "two"]

    @pytest.mark.parametrize(
        ("broken", "words"),
        [(b"", "holds no token"), (b" \n", "holds no token"), (b"a b", "a space"), (b"a\nb", "a space"),
         (b"\xff", "outside ASCII"), (b"x" * 70_000, "larger than"), (None, "No such file")],
    )  # fmt: skip
    async def test_a_file_that_cannot_be_used(self, path, broken, words):
        """It ends a start; later the previous token is sent, and the log says so. No error quotes the file."""
        file = TokenFile(path)
        path.unlink()
        if broken is not None:
            path.write_bytes(broken)
        with pytest.raises(SettingsError, match=f"MLFLOW_TRACKING_TOKEN_FILE: .*{words}"):
            check(settings(MLFLOW_TRACKING_TOKEN_FILE=str(path)))
        with structlog.testing.capture_logs() as lines:
            assert [await file.latest() for _ in range(2)] == ["one", "one"]
        assert [line["event"] for line in lines] == ["token_not_read"] * 2
        assert [line["log_level"] for line in lines] == ["error", "debug"]
        assert words in lines[0]["reason"]
        path.write_text("two")
        with structlog.testing.capture_logs() as lines:
            assert await file.latest() == "two"
        assert [line["event"] for line in lines] == ["token_read"]

    async def test_requests_at_the_same_time(self, path):
        """Each has a token, while the file is read once for all of them."""
        file = TokenFile(path)
        assert await asyncio.gather(*(file.latest() for _ in range(20))) == ["one"] * 20

    @pytest.mark.parametrize(
        ("more", "user"),
        [
            ({"MLFLOW_TRACKING_TOKEN": "other"}, "MLFLOW_TRACKING_TOKEN_FILE"),
            ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p"}, "ada"),
        ],
    )
    def test_which_credentials_count(self, path, more, user):
        """The file before the token, user and password before the file."""
        chosen = sign_in(settings(MLFLOW_TRACKING_TOKEN_FILE=str(path), **more))
        assert user in chosen.user
        assert "other" not in repr(chosen)

    async def test_a_token_that_a_server_repeats_is_not_shown(self, path):
        """Also not the one of before."""
        path.write_text("s3cret-one")

        async def repeat(head, writer):
            path.write_text("s3cret-two")
            body = b'{"error_code": "X", "message": "s3cret-one s3cret-two"}'
            writer.write(http("401 No" if b"one" in head else "400 Bad", body))

        async with raw_server(repeat) as address:
            server = tracking_server(settings(address, MLFLOW_TRACKING_TOKEN_FILE=str(path)))
            with pytest.raises(Exception, match="HTTP 400") as caught:
                await aspired(server)
            await server.close()
        assert "s3cret" not in str(caught.value)


PLUGIN = """
import httpx

class Sso(httpx.Auth):
    def auth_flow(self, request):
        request.headers["Authorization"] = "Bearer from-the-plugin"
        yield request

def broken():
    raise RuntimeError("with the password s3cret")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package with entry points, as pip leaves it."""
    (tmp_path / "sso_plugin.py").write_text(PLUGIN)
    info = tmp_path / "sso_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sso-plugin\nVersion: 1.0\n")
    names = {
        "sso": "Sso",
        "broken": "broken",
        "none": "PLUGIN_IS_MISSING",
        "text": "__doc__",
        "dict": "__dict__.copy",
    }
    lines = [f"{name} = sso_plugin:{value}" for name, value in names.items()]
    (info / "entry_points.txt").write_text("\n".join(["[mlflow_hotswap.auth]", *lines]))
    monkeypatch.syspath_prepend(tmp_path)


class TestPlugins:
    def test_kubernetes_is_the_token_of_the_service_account(self, tmp_path):
        """As in MLflow's client; outside a pod, the error names the file. Another file comes before it."""
        chosen = settings(MLFLOW_TRACKING_AUTH="kubernetes")
        with pytest.raises(
            SettingsError, match=r"^MLFLOW_TRACKING_AUTH=kubernetes: /var/run/secrets/"
        ):
            check(chosen)
        (tmp_path / "token").write_text("projected")
        more = {"MLFLOW_TRACKING_TOKEN_FILE": str(tmp_path / "token")}
        check(settings(MLFLOW_TRACKING_AUTH="kubernetes", **more))
        with pytest.raises(SettingsError, match="MLFLOW_WORKSPACE"):
            check(settings(MLFLOW_TRACKING_AUTH="kubernetes-namespaced"))

    @pytest.mark.usefixtures("plugin")
    async def test_a_plugin_signs_requests_in(self):
        """By the name of its entry point, as MLFLOW_TRACKING_AUTH chooses one in MLflow's own client."""
        registry = Guarded("from-the-plugin")
        async with raw_server(registry) as address:
            chosen = settings(address, MLFLOW_TRACKING_AUTH="sso")
            check(chosen)
            server = tracking_server(chosen)
            assert await aspired(server) == "7"
            await server.close()

    @pytest.mark.usefixtures("plugin")
    def test_an_unknown_name_lists_the_installed(self):
        """Plugins of packages, and the ones that ship with the service."""
        with pytest.raises(
            SettingsError,
            match=r"MLFLOW_TRACKING_AUTH: .*'saml'.*broken, databricks, .*kubernetes, .*sso",
        ):
            check(settings(MLFLOW_TRACKING_AUTH="saml"))

    @pytest.mark.usefixtures("plugin")
    @pytest.mark.parametrize(
        ("name", "words"),
        [("broken", "RuntimeError"), ("none", "AttributeError"), ("text", "TypeError"), ("dict", "no httpx.Auth")],
    )  # fmt: skip
    def test_a_plugin_that_cannot_be_made_ends_the_start(self, name, words):
        """Its name is in the error, and its message is not, which may quote a secret."""
        with pytest.raises(SettingsError, match=f"'{name}'.*{words}") as caught:
            tracking_server(settings(MLFLOW_TRACKING_AUTH=name))
        assert "s3cret" not in str(caught.value)


class Failing(httpx.Auth):
    """Fails as somebody else's code does."""

    def auth_flow(self, request):
        yield request
        raise KeyError("s3cret")


class Endless(httpx.Auth):
    """Never satisfied."""

    def auth_flow(self, request):
        while True:
            yield request


class Silent(httpx.Auth):
    """Sends nothing."""

    async def async_auth_flow(self, request):
        return
        yield


class Fetching(httpx.Auth):
    """Requests a token before, as OAuth does."""

    def __init__(self):
        self.answer = None

    def auth_flow(self, request):
        self.answer = yield httpx.Request("GET", request.url.copy_with(path="/token", query=None))
        yield request


@contextlib.asynccontextmanager
async def signed(auth, reply):
    async with raw_server(reply) as address:
        client = httpx.AsyncClient(base_url=address, timeout=5)
        server = TrackingServer(client, SignIn("the sign-in `x`", auth=auth))
        yield server
        await server.close()


class Header(httpx.Auth):
    """Signs in by a header of its own."""

    def auth_flow(self, request):
        request.headers["X-Sso"] = "s3cret"
        yield request


class TestLimits:
    async def test_a_plugin_without_the_usual_header(self):
        """A server's message is shown as it is."""
        body = b'{"error_code": "BAD_REQUEST", "message": "no such workspace"}'
        async with signed(Header(), http("400 Bad", body)) as server:
            with pytest.raises(RegistryInvalidResponse, match="BAD_REQUEST no such workspace"):
                await aspired(server)

    async def test_a_path_that_no_request_can_have(self):
        """An error of the registry's part, with and without a plugin."""
        for auth in (None, Header()):
            async with signed(auth, http("200 OK")) as server:
                with pytest.raises(RegistryUnreachable, match="could not be written"):
                    await server.get("/a" * 40_000, max_bytes=1)

    @pytest.mark.parametrize(
        ("auth", "words"),
        [
            (Failing(), r"the sign-in `x` failed to sign in \(KeyError\)"),
            (Endless(), "more than 5 requests"),
            (Silent(), "no request"),
        ],
    )
    async def test_a_plugin_cannot_end_a_poll_in_another_way(self, auth, words):
        """Every error becomes one that keeps the serving version."""
        async with signed(auth, http("200 OK", FOUND)) as server:
            with pytest.raises(RegistryUnreachable, match=words) as caught:
                await aspired(server)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("length", [10, 100_000])
    async def test_responses_on_the_way_are_limited(self, length):
        """With httpx alone, they would be read to their end, whatever they have."""

        async def reply(head, writer):
            token = head.startswith(b"GET /token ")
            writer.write(http("200 OK", b"t" * length if token else FOUND))

        fetching = Fetching()
        async with signed(fetching, reply) as server:
            if length < 65_536:
                assert await aspired(server) == "7"
                assert fetching.answer.text == "t" * length
            else:
                with pytest.raises(Exception, match="larger than 65,536 bytes"):
                    await aspired(server)

    async def test_compressed_responses_on_the_way_are_refused(self):
        """A few kilobytes can be unpacked to gigabytes."""
        packed = http("200 OK", b"x", "Content-Encoding: gzip")
        async with signed(Fetching(), packed) as server:
            with pytest.raises(Exception, match="it is compressed"):
                await aspired(server)


def test_without_a_plugin_nothing_of_one_is_imported():
    """Databricks' part, too, is imported only if it is chosen."""
    code = (
        "import sys, predictor.service, predictor.settings_checks; "
        "print([name for name in sys.modules if 'databricks' in name])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
