"""The registry gateway: the real nginx with the configuration of deploy/gateway, before a real MLflow or a hostile server."""

import asyncio
import os
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from demo.processes import free_port, running
from predictor.errors import RegistryUnreachable
from predictor.model_version import ModelUri
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from scale.gateway import start_gateway
from scale.registry import followed_model
from tests.hostile import certificates
from tests.predictor.parts import a_client
from tests.required import program
from tests.shared import Server

pytestmark = pytest.mark.whole

API = "/api/2.0/mlflow"
POLL = f"{API}/model-versions/get"
FILE = "/api/2.0/mlflow-artifacts/artifacts/1/model/MLmodel"
ALLOWED = (
    f"{API}/registered-models/get-latest-versions", f"{API}/registered-models/alias", POLL,
    f"{API}/model-versions/get-download-uri", f"{API}/runs/get", f"{API}/logged-models/m-12ab",
    "/api/2.0/mlflow-artifacts/artifacts", FILE,
)  # fmt: skip
REFUSED = (
    "/", "/ajax-api/2.0/mlflow/runs/get", f"{API}/experiments/search", f"{API}/runs/search",
    f"{API}/model-versions/search", f"{API}/model-versions/get/", f"{API}/logged-models/search",
    f"{API}/logged-models/m-1/artifacts/directories", f"{API}/logged-models/m-1%2f..%2fx",
    "/api/2.0/mlflow/users/get", "/api/2.0/mlflow-artifacts/mpu/create/x", "/graphql",
    "/get-artifact", "/api/2.0/mlflow-artifacts/artifacts/..%2f..%2fmlflow/experiments/search",
    f"{POLL}/../../experiments/search", f"{POLL}%0a", f"{API}/logged-models/m-1%0a", f"{API}/Runs/get", "/api/2.0/mlflow-artifacts/artifacts/a%0d%0aX: y",
    "/api/3.0/mlflow/model-versions/get", "//api/2.0/mlflow/experiments/search",
)  # fmt: skip


class Registry(ThreadingHTTPServer):
    """Stands for MLflow: keeps each request, and answers as a test says."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heads: list[tuple[str, str, dict[str, str]]] = []
        self.status, self.body = 200, b"{}"
        self.fields = {"Set-Cookie": "session=1", "Vary": "Cookie", "Cache-Control": "no-store"}
        self.seconds = 0.0
        self.stopped = False
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, path: str = "") -> int:
        return sum(head[1].partition("?")[0] == (path or POLL) for head in self.heads)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        server = self.server
        if server.stopped:
            self.close_connection = True
            return
        fields = {name.lower(): value for name, value in self.headers.items()}
        server.heads.append((self.command, self.path, fields))
        time.sleep(server.seconds)
        server.go_on.wait(20)
        self.send_response(server.status)
        for name, value in server.fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


@contextmanager
def gateway(
    folder: Path, url: str, credentials: str = "", **changes: str
) -> Iterator[httpx.Client]:
    """Start the gateway before a server; `changes` are variables of the template."""
    program("nginx")
    (folder / "gateway").mkdir()
    (folder / "gateway/credentials").write_text(credentials)
    child = start_gateway(folder / "gateway", url, changes=changes)
    with running(child), httpx.Client(base_url=child.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(registry: Registry, tmp_path: Path) -> Iterator[httpx.Client]:
    with gateway(
        tmp_path, f"{registry.url}/prefix", 'proxy_set_header Authorization "Bearer its-own";'
    ) as it:
        yield it


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error_code"])


def test_only_reading_and_only_the_paths_of_a_replica(
    client: httpx.Client, registry: Registry
) -> None:
    """Each other method and path is refused in MLflow's form, and nothing of it reaches MLflow."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (*ALLOWED, *REFUSED):
            answer = client.request(method, path, json={"name": "m"})
            assert (answer.status_code, code(answer)) == (405, "PERMISSION_DENIED"), (method, path)
    for path in REFUSED:
        answer = raw(client, f"GET {path} HTTP/1.1")
        assert re.match(r"HTTP/1.1 (403|400) ", answer), (path, answer)
    assert client.head(POLL).status_code == 405
    assert registry.heads == []
    for path in ALLOWED:
        assert client.get(path, params={"name": "m"}).status_code == 200, path
    assert [(method, path.partition("?")[0]) for method, path, _ in registry.heads] == [
        ("GET", f"/prefix{path}") for path in ALLOWED
    ]


def raw(client: httpx.Client, line: str) -> str:
    """The answer to a request line that httpx would clean."""

    async def sent() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(f"{line}\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
        found = await reader.read()
        writer.close()
        return found

    return asyncio.run(sent()).decode()


def test_it_has_the_credentials_and_passes_on_none(
    client: httpx.Client, registry: Registry
) -> None:
    """Of a replica's header only the workspace reaches MLflow, and of MLflow's no cookie comes back."""
    sent = {
        "Authorization": "Bearer a-replicas", "Cookie": "session=2", "X-Forwarded-User": "admin",
        "X-MLFLOW-WORKSPACE": "cardiology", "Accept-Encoding": "gzip", "Range": "bytes=0-1",
    }  # fmt: skip
    for path in (POLL, FILE):
        answer = client.get(path, headers=sent)
        assert "set-cookie" not in answer.headers
        fields = registry.heads[-1][2]
        fields.pop("host")
        assert fields == {
            "authorization": "Bearer its-own", "x-mlflow-workspace": "cardiology",
            "accept-encoding": "identity",
        }  # fmt: skip


@pytest.mark.parametrize("path", ALLOWED)
def test_no_body_and_no_length_of_one_reaches_mlflow(
    client: httpx.Client, registry: Registry, path: str
) -> None:
    """With a length alone, MLflow would read the next request, of another replica, as the body."""
    chunked = (part for part in (b"GET /x", b" HTTP/1.1"))
    for number, content in enumerate((b"x" * 300, chunked, None)):
        answer = client.request("GET", path, params={"name": str(number)}, content=content)
        assert answer.status_code == 200, content
    fields = set().union(*(head[2] for head in registry.heads))
    assert not fields & {"content-length", "transfer-encoding"}
    assert {head[0] for head in registry.heads} == {"GET"}


def test_only_the_name_of_a_workspace_reaches_mlflow(
    client: httpx.Client, registry: Registry
) -> None:
    for name in ("a b", "DELETE /x HTTP/1.1", f"a {FILE}", "a;b", "ä".encode()):
        for path in (POLL, FILE):
            answer = client.get(path, headers={"X-MLFLOW-WORKSPACE": name})
            assert (answer.status_code, code(answer)) == (400, "INVALID_PARAMETER_VALUE"), name
    assert registry.heads == []


def test_mlflow_gives_the_gateway_no_orders(client: httpx.Client, registry: Registry) -> None:
    """Its file `/status` would be the answer instead."""
    registry.fields["X-Accel-Redirect"] = "/status"
    for path in (POLL, FILE):
        assert client.get(path).content == registry.body


def test_equal_polls_are_one_question_of_half_a_second(
    client: httpx.Client, registry: Registry
) -> None:
    """50 replicas at once, and again and again; other questions and workspaces are asked for themselves."""
    registry.seconds = 0.1
    url = f"/prefix{POLL}"
    with ThreadPoolExecutor(50) as threads:
        began = time.monotonic()
        while time.monotonic() < began + 3:
            found = [*threads.map(lambda _: client.get(POLL, params={"name": "m"}), range(50))]
            assert {each.status_code for each in found} == {200}
        lasted = time.monotonic() - began
    assert 2 <= registry.asked(url) <= 2 * lasted + 2
    before = registry.asked(url)
    client.get(POLL, params={"name": "other"})
    client.get(POLL, params={"name": "other"}, headers={"X-MLFLOW-WORKSPACE": "cardiology"})
    assert registry.asked(url) == before + 2


@pytest.mark.parametrize("seconds", [0, 0.4])
def test_polls_that_wait_for_one_answer_get_it_without_a_second_question(
    client: httpx.Client, registry: Registry, seconds: float
) -> None:
    """Most within a tenth of a second; also if MLflow needs longer than they wait in the first of two places."""
    registry.seconds = seconds
    url = f"/prefix{POLL}"
    for name in "abcd":
        before, began = registry.asked(url), time.monotonic()
        with ThreadPoolExecutor(40) as threads:
            found = [*threads.map(client.get, [f"{POLL}?name={name}"] * 40)]
        assert {each.status_code for each in found} == {200}
        assert registry.asked(url) - before <= 2 * (time.monotonic() - began) + 2


def test_the_second_place_passes_polls_only(registry: Registry, tmp_path: Path) -> None:
    """Other programs of the same machine could connect to it."""
    address = f"127.0.0.1:{free_port()}"
    with (
        gateway(tmp_path, registry.url, GATEWAY_POLLS=address),
        httpx.Client(base_url=f"http://{address}") as inside,
    ):
        for method, path in (("POST", POLL), *(("GET", each) for each in (*REFUSED, FILE))):
            assert inside.request(method, path).status_code in {400, 403}, path
        assert registry.heads == []
        assert inside.get(POLL).status_code == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}'),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "alias x not found."}'),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no READ"}'),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "the database"}'),
    ],
)
def test_what_is_no_version_is_kept_as_long(
    client: httpx.Client, registry: Registry, status: int, body: bytes
) -> None:
    """A demotion must not bring 1,000 polls a second to MLflow; what it says arrives unchanged."""
    registry.status, registry.body = status, body
    began = time.monotonic()
    for _ in range(100):
        answer = client.get(POLL)
        assert (answer.status_code, answer.content) == (status, body)
    assert registry.asked(f"/prefix{POLL}") <= 2 * (time.monotonic() - began) + 2


def test_no_answer_is_older_than_half_a_second(client: httpx.Client, registry: Registry) -> None:
    """After a change, a replica gets MLflow's new answer; after a webhook, at once."""
    for number in range(8):
        registry.body = str(number).encode()
        time.sleep(0.51)
        assert client.get(POLL).content == registry.body
    registry.body = b"changed"
    time.sleep(0.11)
    assert client.get(POLL, headers={"Cache-Control": "no-cache"}).content == b"changed"


@pytest.mark.parametrize("lost", ["stopped", "hanging"])
async def test_a_gateway_that_has_lost_mlflow_is_a_registry_that_cannot_be_reached(
    registry: Registry, tmp_path: Path, lost: str
) -> None:
    """Never an old answer in place of none, for none of many replicas; and it is back when MLflow is."""
    registry.body = b'{"model_version": {"name": "m", "version": "7"}}'
    with gateway(tmp_path, registry.url) as http:
        async with a_client(str(http.base_url)) as tracking:
            replica = RegistryClient(tracking, ModelUri.parse("models:/m/7"))
            assert (await replica.aspired()).version == "7"  # type: ignore[union-attr]
            before = registry.asked()
            if lost == "stopped":
                registry.stopped = True
                registry.shutdown()
                registry.server_close()
            else:
                registry.go_on.clear()
            await asyncio.sleep(0.51)
            polls = [RegistryClient(tracking, ModelUri.parse("models:/m/7")) for _ in range(20)]
            for _ in range(2):
                found = await asyncio.gather(
                    *(each.aspired() for each in polls), return_exceptions=True
                )
                assert {type(each) for each in found} == {RegistryUnreachable}
                assert "the registry gateway got no answer from MLflow" in str(found[0])
            assert registry.asked() - before <= 6
            if lost == "hanging":
                registry.go_on.set()
                await asyncio.sleep(0.51)
                assert (await replica.aspired()).version == "7"  # type: ignore[union-attr]


@pytest.mark.parametrize("trusted", [True, False])
def test_mlflow_over_https(registry: Registry, tmp_path: Path, trusted: bool) -> None:
    """Its certificate is checked, by its name."""
    pair, other = certificates.make(tmp_path), tmp_path / "other"
    other.mkdir()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.both)
    registry.socket = tls.wrap_socket(registry.socket, server_side=True)
    ca = pair if trusted else certificates.make(other)
    url = registry.url.replace("http:", "https:")
    with gateway(tmp_path, url, MLFLOW_CA=str(ca.certificate)) as client:
        assert client.get(POLL).status_code == (200 if trusted else 502)
    assert registry.asked() == trusted


def test_refused_credentials_are_the_gateways_fault(
    client: httpx.Client, registry: Registry
) -> None:
    """A replica has none: it must not be told to look for its own."""
    registry.status, registry.body = 401, b"sign in"
    answer = client.get(POLL)
    assert answer.status_code == 502
    assert "credentials of the registry gateway" in answer.json()["message"]


def test_a_file_is_fetched_once_by_its_path(client: httpx.Client, registry: Registry) -> None:
    """However many ask for it at the same time or later; each workspace has its own."""
    registry.seconds, registry.body = 0.3, b"x" * 3_000_000
    with ThreadPoolExecutor(40) as threads:
        found = [*threads.map(lambda _: client.get(FILE), range(40))]
    assert {each.content for each in found} == {registry.body}
    time.sleep(1.1)
    assert client.get(f"{FILE}?other=1").headers["X-Gateway-Cache"] == "HIT"
    assert registry.asked(f"/prefix{FILE}") == 1
    client.get(FILE, headers={"X-MLFLOW-WORKSPACE": "cardiology"})
    assert registry.asked(f"/prefix{FILE}") == 2


def test_a_file_that_is_not_there_is_not_kept(client: httpx.Client, registry: Registry) -> None:
    """It may be written a moment later."""
    registry.status = 404
    assert client.get(FILE).status_code == 404
    registry.status, registry.body = 200, b"here"
    time.sleep(2.1)
    assert client.get(FILE).content == b"here"


def test_it_is_watched_and_logs_what_reached_mlflow(
    client: httpx.Client, registry: Registry, tmp_path: Path
) -> None:
    """A health check, counts of connections, and a line for each request that reached MLflow or was refused."""
    registry.status = 404
    for _ in range(20):
        client.get(POLL, params={"name": "m"})
    client.get("/api/2.0/mlflow/experiments/search")
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/status").text.startswith("Active connections: ")
    lines = [
        line for line in (tmp_path / "gateway/nginx.log").read_text().splitlines() if "GET" in line
    ]
    assert sum(" mlflow 404 " in line for line in lines) == registry.asked(f"/prefix{POLL}")
    assert sum(" gateway 403 " in line for line in lines) == 1
    assert len(lines) == registry.asked(f"/prefix{POLL}") + 1
    assert "its-own" not in "".join(lines)


async def test_a_replica_reads_a_version_through_it(mlflow_server: Server, tmp_path: Path) -> None:
    """With a real MLflow: every read of a load is among the paths, and the second replica's cost MLflow nothing."""
    model = followed_model(mlflow_server.url, mlflow_server.group, tmp_path)
    with gateway(tmp_path, mlflow_server.url) as http:
        log = tmp_path / "gateway/nginx.log"
        for replica in ("first", "second"):
            async with a_client(str(http.base_url)) as tracking:
                cache = Cache(tmp_path / replica, scope="test")
                stores = ArtifactStores(tracking)
                source = RegistrySource(RegistryClient(tracking, model.uri), stores, cache, 10**7)
                found = await source.aspired()
                assert found is not None
                assert (await source.fetch(found)).artifact.onnx_path
                assert await source.fingerprint(found)
            reached = re.findall(r" mlflow (\d+) .*/artifacts/.*/(\S+)\"", log.read_text())
            assert sorted(reached) == [("200", "MLmodel"), ("200", "model.onnx")]


def test_it_runs_as_a_user_without_rights(registry: Registry) -> None:
    """The containers' user from the start, as their images do: it needs no more than its folder."""
    program("nginx")
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests run as one")
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        folder = Path(name)
        log = folder / "nginx.log"
        log.touch()
        for each in (folder, log):  # a container's output is its user's, too
            os.chown(each, 101, 101)
        user = [
            program("setpriv"),
            "--reuid=101",
            "--regid=101",
            "--clear-groups",
            "--no-new-privs",
        ]
        child = start_gateway(folder, registry.url, prefix_command=user)
        with running(child):
            assert httpx.get(child.url + POLL).status_code == 200
            assert httpx.get(child.url + FILE).headers["X-Gateway-Cache"] == "MISS"
            status = Path(f"/proc/{child.process.pid}/status").read_text()
        assert re.search(r"^Uid:(\s101){4}$", status, re.MULTILINE)
        assert " mlflow 200 " in log.read_text()


def test_it_writes_to_its_folder_only(registry: Registry, tmp_path: Path) -> None:
    """As any user, with a root file system that is read-only: nginx says so if anything else is missing."""
    with gateway(tmp_path, registry.url) as client:
        assert client.get(POLL).status_code == 200
        files = {each.name for each in (tmp_path / "gateway").iterdir()}
    assert {"answers", "artifacts", "nginx.pid", "body", "proxy"} <= files
    text = (tmp_path / "gateway/nginx.conf").read_text()
    assert "${" not in text
    assert not re.findall(r"(?<![\w.:/])/(?:var|run|tmp|usr)/(?!.*gateway)\S*", text)
