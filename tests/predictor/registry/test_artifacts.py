"""Where files come from: the tracking server's proxy, a local folder, or a store with a driver."""

import asyncio
import threading

import fsspec
import pytest

from predictor.errors import LoadError
from predictor.registry.artifacts import ArtifactStores, ProxiedFiles, StoredFiles, checked
from predictor.registry.client import artifact_server, tracking_server
from predictor.settings import Settings
from tests.predictor.parts import a_client, http, raw_server

MANY = 1 << 30


async def read(uri, path, most=MANY, address="http://registry:5000"):
    async with a_client(address) as client:
        return await ArtifactStores(client).open(uri).read(path, most)


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
async def test_a_local_folder(tmp_path, form):
    """As a path or as a file: URI, nested paths included."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "x.bin").write_bytes(b"abc")
    assert await read(form.format(tmp_path / "in"), "deep/x.bin") == b"abc"


async def test_a_folder_with_a_space(tmp_path):
    """MLflow quotes it in a file: URI, and not in a path."""
    folder = tmp_path / "my models" / "100%"
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"abc")
    assert await read(folder.as_uri(), "x") == b"abc"
    assert await read(str(folder), "x") == b"abc"


async def test_a_store_with_a_driver():
    """Any file system that fsspec has a driver of, here its own in memory."""
    with fsspec.open("memory://bucket/model/model.onnx", "wb") as file:
        file.write(b"abc" * 1_000_000)
    files = StoredFiles("memory://bucket/model", "memory")
    assert await files.read("model.onnx", MANY) == b"abc" * 1_000_000


@pytest.mark.parametrize("uri", ["/nowhere", "file:///nowhere"])
async def test_a_missing_file_is_named(uri):
    """With the place where it was looked for."""
    with pytest.raises(LoadError, match=r"nowhere/model\.onnx") as caught:
        await read(uri, "model.onnx")
    assert caught.value.stage == "fetch"


@pytest.mark.parametrize(
    ("uri", "extra"),
    [("s3://b/m", "s3"), ("gs://b/m", "gcs"), ("abfss://c@a.dfs.core.windows.net/m", "azure")],
)
async def test_a_missing_driver_says_what_to_install(uri, extra):
    """Drivers are extras of this package."""
    with pytest.raises(LoadError, match=rf"install mlflow-hotswap\[{extra}\]"):
        await read(uri, "model.onnx")


@pytest.mark.parametrize(
    "uri",
    [
        "warp://m", "memory://m", "data:,x", "github://o:r@main/m", "ftp://h/m", "sftp://h/m", "dbfs:/m",
        "hdfs://h/m", "viewfs:/m", "wasbs://c@a/m", "b2://m", "r2://m@a", "zip://x::file:///m.zip",
        "simplecache::s3://b/m", "FILECACHE::file:///m", "blockcache::memory://m", "reference://x",
        "local:///m", "jupyter://h", "git:///m", "hf://m", "ssh://h/m", "arrow_hdfs://h", "az://c/m",
    ],
)  # fmt: skip
async def test_a_scheme_that_is_not_served_is_refused_by_its_name(uri):
    """Nothing of fsspec's is reached by an address, nor by a chain of them."""
    with pytest.raises(LoadError, match=r"sources are not served|credentials|absolute") as caught:
        await read(uri, "model.onnx")
    assert uri.partition(":")[0].lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("models/x", "absolute path"), ("file://elsewhere/m", "absolute path"), ("file:m", "absolute path"),
        ("s3://key:secret@bucket/m", "credentials"), ("https://u:secret@h/m", "credentials"),
        ("mlflow-artifacts://u:secret@registry:5000/m", "credentials"), ("https:///m", "no host"),
        ("http://[::1/m", "not an address"), ("https://h:99999/m", "not an address"),
        ("mlflow-artifacts://h:x/m", "not an address"), ("https://h/m?sig=secret", "query"),
    ],
)  # fmt: skip
async def test_an_address_that_is_not_clear_is_refused(uri, words):
    """And what may be a secret in it is not repeated."""
    with pytest.raises(LoadError, match=words) as caught:
        await read(uri, "model.onnx")
    assert "secret" not in str(caught.value)


async def test_a_chain_in_a_path_is_a_name(tmp_path):
    """A folder may be called as fsspec's chains are."""
    folder = tmp_path / "zip::x"
    folder.mkdir()
    (folder / "x").write_bytes(b"abc")
    assert await read(str(folder), "x") == b"abc"


@pytest.mark.parametrize("uri", ["folder", "mlflow-artifacts:/m"])
async def test_a_file_that_is_too_large_names_the_setting(uri, tmp_path):
    """And is not read to its end."""
    (tmp_path / "x").write_bytes(b"abcdef")
    async with raw_server(http("200 OK", b"abcdef")) as address:
        uri = str(tmp_path) if uri == "folder" else uri
        with pytest.raises(LoadError, match="PREDICTOR_MAX_MODEL_BYTES"):
            await read(uri, "x", 5, address)
        assert await read(uri, "x", 6, address) == b"abcdef"


@pytest.mark.parametrize(
    "path", ["", "../x", "a/../../x", "/etc/passwd", "..", "a\\..\\x", "a\0b", "a/.."]
)
async def test_a_path_that_climbs_out_is_refused(tmp_path, path):
    """Before anything is asked for."""
    with pytest.raises(LoadError, match="outside its folder"):
        checked(path)
    for files in (
        StoredFiles(f"file://{tmp_path}", "file"),
        ProxiedFiles(a_client("http://registry:5000"), "m"),
    ):
        with pytest.raises(LoadError, match="outside its folder"):
            await files.read(path, MANY)


async def test_another_server_is_refused():
    """Credentials for one server are not shown to another."""
    async with a_client("http://Registry:80/mlflow") as client:
        stores = ArtifactStores(client)
        for other in (
            "mlflow-artifacts://elsewhere/1/m", "mlflow-artifacts://registry:81/1/m", "http://elsewhere/m",
            "https://registry/mlflow/api/2.0/mlflow-artifacts/artifacts/1/m", "http://registry/other/m",
        ):  # fmt: skip
            with pytest.raises(
                LoadError, match=r"another server.*PREDICTOR_ARTIFACT_HOSTS may list http"
            ):
                stores.open(other)
        for own in (
            "mlflow-artifacts:/1/m",
            "mlflow-artifacts://REGISTRY/1/m",
            "mlflow-artifacts://Registry.:80/1/m",
        ):
            assert isinstance(stores.open(own), ProxiedFiles)


async def test_a_host_that_is_listed_is_asked_without_credentials(monkeypatch):
    """By the registry's scheme and path for `mlflow-artifacts:`, as MLflow does; and plainly for http."""
    heads = []

    async def reply(head, writer):
        heads.append(head.decode())
        writer.write(http("200 OK", b"abc"))

    async with raw_server(reply) as other:
        settings = Settings.model_validate(
            {
                "MLFLOW_TRACKING_URI": "http://ada:s3cret@127.0.0.1:1/mlflow", "MLFLOW_WORKSPACE": "team-a",
                "artifact_hosts": other.removeprefix("http://"),
            }
        )  # fmt: skip
        (origin,) = settings.other_hosts
        registry, listed = tracking_server(settings), artifact_server(str(origin), settings)
        stores = ArtifactStores(registry, {origin: listed})
        host = other.removeprefix("http://")
        for address in (f"mlflow-artifacts://{host}/1/m", f"http://{host}/files/m"):
            assert await stores.open(address).read("x", MANY) == b"abc"
        await registry.close()
        await listed.close()
    asked = [head.split(" ")[1] for head in heads]
    assert asked == ["/mlflow/api/2.0/mlflow-artifacts/artifacts/1/m/x", "/files/m/x"]
    assert not any("authorization" in head.lower() for head in heads)
    assert all("x-mlflow-workspace: team-a" in head.lower() for head in heads)


@pytest.mark.parametrize(
    "reply",
    [
        http("404 Not Found", b"{}"),
        http("403 Forbidden"),
        http("500 Internal Server Error"),
        http("302 Found", b"", "Location: http://elsewhere/"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"",
    ],
)
async def test_a_proxy_that_fails_is_a_failed_load(reply):
    """An error, a redirect, half a file, or nothing."""
    async with raw_server(reply) as address:
        with pytest.raises(LoadError, match=r"GET .*/api/2\.0/mlflow-artifacts.*[a-z]") as caught:
            await read("mlflow-artifacts:/1/m", "model.onnx", address=address)
    assert caught.value.stage == "fetch"


async def test_names_are_quoted_for_the_proxy():
    """A folder may be called anything."""
    heads = []

    async def remember(head, writer):
        heads.append(head.split(b" ")[1])
        writer.write(http("200 OK", b"abc"))

    async with raw_server(remember) as address:
        await read("mlflow-artifacts:/1/a b", "d#é", address=address)
    assert heads == [b"/api/2.0/mlflow-artifacts/artifacts/1/a%20b/d%23%C3%A9"]


async def test_a_listing_tells_a_replaced_file(tmp_path):
    """By its size at the least; a store that knows times tells more."""
    (tmp_path / "x").write_bytes(b"abc")
    files = StoredFiles(f"file://{tmp_path}", "file")
    before = await files.listing()
    assert await files.listing() == before
    (tmp_path / "x").write_bytes(b"abcd")
    assert await files.listing() != before
    with pytest.raises(LoadError, match="nowhere"):
        await StoredFiles("file:///nowhere", "file").listing()


async def test_a_listing_through_the_proxy():
    """As the server gives it; its failure is a failed load."""
    async with raw_server(http("200 OK", b'{"files": []}')) as address, a_client(address) as client:
        assert await ProxiedFiles(client, "1/m").listing() == '{"files": []}'
    async with raw_server(http("500 Oops")) as address, a_client(address) as client:
        with pytest.raises(LoadError, match="500"):
            await ProxiedFiles(client, "1/m").listing()


async def test_a_listing_without_end():
    """It is given up soon: polls wait for it."""

    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(drip) as address, a_client(address) as client:
        with pytest.raises(LoadError, match="no whole answer in 2 s"):
            await ProxiedFiles(client, "1/m").listing()
    async with raw_server(http("200 OK", b" " * 2_000_000)) as address, a_client(address) as client:
        with pytest.raises(LoadError, match="the listing"):
            await ProxiedFiles(client, "1/m").listing()


async def test_a_store_that_hangs_does_not_hold_up_the_polls():
    """A caller that waits for its listing gets an error after a bound."""
    let_go = threading.Event()

    class Hung(StoredFiles):
        def _list(self):
            let_go.wait()
            return ""

    try:
        with pytest.raises(LoadError, match="no answer in"):
            await Hung("file:///x", "file").listing()
    finally:
        let_go.set()
