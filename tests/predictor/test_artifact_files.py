"""Where files come from: the tracking server's proxy, a local folder, or a store with a driver."""

import fsspec
import pytest

from predictor.artifact_files import ProxiedFiles, StoredFiles, checked, open_files
from predictor.errors import LoadError
from tests.predictor.parts import a_client, http, raw_server

MANY = 1 << 30


async def download(uri, path, to, most=MANY, address="http://registry:5000"):
    async with a_client(address) as client:
        return await open_files(uri, client).download(path, to, most)


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
async def test_a_local_folder(tmp_path, form):
    """As a path or as a file: URI, nested paths included."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "x.bin").write_bytes(b"abc")
    size = await download(form.format(tmp_path / "in"), "deep/x.bin", tmp_path / "out" / "x")
    assert (size, (tmp_path / "out" / "x").read_bytes()) == (3, b"abc")


async def test_a_folder_with_a_space(tmp_path):
    """MLflow quotes it in a file: URI, and not in a path."""
    folder = tmp_path / "my models" / "100%"
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"abc")
    assert await download(folder.as_uri(), "x", tmp_path / "1") == 3
    assert await download(str(folder), "x", tmp_path / "2") == 3


async def test_a_store_with_a_driver(tmp_path):
    """Any file system that fsspec knows, here its own in memory."""
    with fsspec.open("memory://bucket/model/model.onnx", "wb") as file:
        file.write(b"abc" * 1_000_000)
    to = tmp_path / "model.onnx"
    assert await download("memory://bucket/model", "model.onnx", to) == 3_000_000
    assert to.stat().st_size == 3_000_000


@pytest.mark.parametrize("uri", ["memory://nowhere", "/nowhere", "file:///nowhere"])
async def test_a_missing_file_is_named(tmp_path, uri):
    """With the place where it was looked for."""
    with pytest.raises(LoadError, match=r"nowhere/model\.onnx") as caught:
        await download(uri, "model.onnx", tmp_path / "x")
    assert caught.value.stage == "fetch"


@pytest.mark.parametrize(
    ("uri", "extra"),
    [("s3://b/m", "s3"), ("gs://b/m", "gcs"), ("abfss://c@a.dfs.core.windows.net/m", "azure")],
)
async def test_a_missing_driver_says_what_to_install(tmp_path, uri, extra):
    """Drivers are extras of this package."""
    with pytest.raises(LoadError, match=rf"install mlflow-hotswap\[{extra}\]"):
        await download(uri, "model.onnx", tmp_path / "x")


async def test_a_store_that_nobody_knows(tmp_path):
    """Is a failed load, not a crash."""
    with pytest.raises(LoadError, match="cannot read warp://m"):
        await download("warp://m", "model.onnx", tmp_path / "x")


@pytest.mark.parametrize("uri", ["memory://big", "proxy"])
async def test_a_file_that_is_too_large_names_the_setting(tmp_path, uri):
    """And is not read to its end."""
    with fsspec.open("memory://big/x", "wb") as file:
        file.write(b"abcdef")
    async with raw_server(http("200 OK", b"abcdef")) as address:
        uri = uri if uri != "proxy" else "mlflow-artifacts:/m"
        with pytest.raises(LoadError, match="PREDICTOR_MAX_MODEL_BYTES"):
            await download(uri, "x", tmp_path / "1", most=5, address=address)
        assert await download(uri, "x", tmp_path / "2", most=6, address=address) == 6


@pytest.mark.parametrize(
    "path", ["", "../x", "a/../../x", "/etc/passwd", "..", "a\\..\\x", "a\0b", "a/.."]
)
async def test_a_path_that_climbs_out_is_refused(tmp_path, path):
    """Before anything is asked for or written."""
    with pytest.raises(LoadError, match="outside its folder"):
        checked(path)
    for files in (
        StoredFiles(f"file://{tmp_path}"),
        ProxiedFiles(a_client("http://registry:5000"), "m"),
    ):
        with pytest.raises(LoadError, match="outside its folder"):
            await files.download(path, tmp_path / "x", MANY)


async def test_another_server_is_refused():
    """Credentials for one server are not shown to another."""
    async with a_client("http://registry:5000") as client:
        with pytest.raises(LoadError, match="another server"):
            open_files("mlflow-artifacts://elsewhere:5000/1/model", client)
        assert isinstance(open_files("mlflow-artifacts://registry:5000/1/m", client), ProxiedFiles)
        assert isinstance(open_files("mlflow-artifacts:/1/m", client), ProxiedFiles)


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
async def test_a_proxy_that_fails_is_a_failed_load(tmp_path, reply):
    """An error, a redirect, half a file, or nothing."""
    async with raw_server(reply) as address:
        with pytest.raises(LoadError, match=r"GET /api/2\.0/mlflow-artifacts.*[a-z]") as caught:
            await download("mlflow-artifacts:/1/m", "model.onnx", tmp_path / "x", address=address)
    assert caught.value.stage == "fetch"


async def test_names_are_quoted_for_the_proxy(tmp_path):
    """A folder may be called anything."""
    heads = []

    async def remember(head, writer):
        heads.append(head.split(b" ")[1])
        writer.write(http("200 OK", b"abc"))

    async with raw_server(remember) as address:
        await download("mlflow-artifacts:/1/a b", "d#é", tmp_path / "x", address=address)
    assert heads == [b"/api/2.0/mlflow-artifacts/artifacts/1/a%20b/d%23%C3%A9"]
