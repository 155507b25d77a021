"""A version's files, from the real server or from memory, and what is left when that fails."""

import asyncio
import json
from dataclasses import replace

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from structlog.testing import capture_logs

from predictor.errors import CacheError, LoadError
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from predictor.model_version import ModelUri
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from tests.predictor.graphs import classifier, regressor, with_external_data
from tests.predictor.parts import a_client, http, raw_server, version, write_artifact

ONE = version(1)
WEIGHTS = np.array([1, 2], np.float32).tobytes()


@pytest.fixture
async def source_of(tmp_path):
    clients = []

    def make(url, uri="models:/m/Production", *, folder=tmp_path / "cache", most=1 << 30):
        client = a_client(url)
        clients.append(client)
        registry = RegistryClient(client, ModelUri.parse(uri))
        return RegistrySource(registry, ArtifactStores(client), Cache(folder, uri), most)

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def tracked(mlflow_server, monkeypatch):
    """MLflow's own client, told of the server for one test."""
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)  # set_tracking_uri sets it too
    mlflow.set_tracking_uri(mlflow_server.url)
    yield mlflow_server.url
    mlflow.set_tracking_uri(before)


def left_in(folder):
    """What a failed fetch left behind."""
    return [path.name for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


async def stored(source_of, tmp_path, wanted=ONE, **options):
    """Fetch from a local folder whose address a server of ours gives."""
    body = json.dumps({"artifact_uri": str(tmp_path / "store"), "run": {"data": {}}}).encode()
    async with raw_server(http("200 OK", body)) as address:
        return await source_of(address, **options).fetch(wanted)


async def test_a_version_in_the_real_registry(mlflow_server, registered, source_of, tmp_path):
    """Through the proxy, with external data and the run's metrics; loaded, it answers."""
    files = write_artifact(tmp_path / "in", with_external_data(), **{"weights.bin": WEIGHTS})
    run_id, uri = registered.upload(tmp_path / "in")
    name = registered.model()
    registered.version(name, uri, run_id, onnx_sha256=files.artifact.onnx_sha256)
    source = source_of(mlflow_server.url, f"models:/{name}/1")
    aspired = await source.aspired()
    fetched = await source.fetch(aspired)
    assert set(fetched.contents) == {"MLmodel", "model.onnx", "weights.bin"}
    assert fetched.artifact.metrics == {"auc": 0.9}
    assert load(aspired, fetched, Interrupt()).answer([(1.0, 1.0)])[0].prediction == 3.0
    await source.remember(aspired, fetched)
    assert (await source.last_verified())[0] == aspired
    registered.delete_model(name)
    assert await source.fetch(aspired) == fetched
    await source.forget()
    assert await source.last_verified() is None


@pytest.mark.parametrize("signed", ["no signature", "an array", "a named array", "a data frame"])
async def test_models_logged_by_mlflow_are_served(tracked, source_of, signed):
    """`mlflow.onnx.log_model` with any signature or none, and nothing else, is enough to serve."""
    rows = np.array([[1.0, 2.0]], np.float32)
    inputs = {
        "an array": rows, "a named array": {"X": rows},
        "a data frame": pd.DataFrame(rows, columns=["a b", "c"]),
    }.get(signed)  # fmt: skip
    name = f"logged with {signed}"
    with mlflow.start_run():
        mlflow.onnx.log_model(
            onnx.load_from_string(regressor()), name="model", registered_model_name=name,
            signature=infer_signature(inputs) if inputs is not None else None,
            pip_requirements=[],
        )  # fmt: skip
    source = source_of(tracked, f"models:/{name}/1")
    version = await source.aspired()
    servable = load(version, await source.fetch(version), Interrupt())
    assert servable.answer([(1.0, 2.0)])[0].prediction == 3.0
    names = [feature.name for feature in servable.signature.features]
    assert names == (["a b", "c"] if signed == "a data frame" else ["feature_0", "feature_1"])


async def test_an_input_example_comes_with_its_version(tracked, source_of):
    """MLflow keeps it beside the graph; so does the cache, and the graph is not told of it."""
    rows = pd.DataFrame([[1.0, 2.0]], columns=["a b", "c"], dtype=np.float32)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            onnx.load_from_string(regressor()), name="model", registered_model_name="example",
            signature=infer_signature(rows), input_example=rows, pip_requirements=[],
        )  # fmt: skip
    source = source_of(tracked, "models:/example/1")
    version = await source.aspired()
    fetched = await source.fetch(version)
    assert json.loads(fetched.input_example) == {"columns": ["a b", "c"], "data": [[1.0, 2.0]]}
    assert fetched.external_data == {}
    assert load(version, fetched, Interrupt()).answer([(1.0, 2.0)])[0].prediction == 3.0
    await source.remember(version, fetched)
    assert await source.fetch(version) == fetched


@pytest.mark.parametrize("content", [None, b" " * 2_000_000])
async def test_an_input_example_that_cannot_be_read_is_done_without(source_of, tmp_path, content):
    """It is missing, or larger than a few rows are."""
    write_artifact(tmp_path / "store")
    described = {
        "flavors": {"onnx": {"data": "model.onnx"}},
        "saved_input_example_info": {"artifact_path": "input_example.json", "type": "dataframe"},
    }
    (tmp_path / "store" / "MLmodel").write_text(yaml.safe_dump(described))
    if content is not None:
        (tmp_path / "store" / "input_example.json").write_bytes(content)
    assert (await stored(source_of, tmp_path)).input_example is None


async def test_a_version_without_files(mlflow_server, registered, source_of, tmp_path):
    """Registered, and nothing uploaded: the error has the address that answers 404."""
    name = registered.model(1)
    source = source_of(mlflow_server.url, f"models:/{name}/1")
    with pytest.raises(LoadError, match=r"MLmodel answers HTTP 404|MLmodel"):
        await source.fetch(await source.aspired())
    assert left_in(tmp_path / "cache") == []


async def test_a_digest_that_is_not_the_tags(source_of, tmp_path):
    """The file or the tag was changed; nothing of it is kept."""
    write_artifact(tmp_path / "store")
    with pytest.raises(LoadError, match="the file or the tag was changed") as caught:
        await stored(source_of, tmp_path, version(1, onnx_sha256="0" * 64))
    assert caught.value.stage == "digest"
    assert left_in(tmp_path / "cache") == []


async def test_a_tag_that_changed_is_looked_up_anew(source_of, tmp_path):
    """Files that were replaced together with their tag are fetched, not the old ones served."""
    write_artifact(tmp_path / "store")
    old = await stored(source_of, tmp_path)
    source_of("http://127.0.0.1:1")._cache.remember(version(1), old)
    new = write_artifact(tmp_path / "store", classifier((5.0, 5.0)))
    fetched = await stored(source_of, tmp_path, version(1, onnx_sha256=new.artifact.onnx_sha256))
    digests = [each.artifact.onnx_sha256 for each in (fetched, new, old)]
    assert digests[0] == digests[1] != digests[2]


def change(folder, **entries):
    """Overwrite `MLmodel`."""
    (folder / "MLmodel").write_text(yaml.safe_dump(entries))


@pytest.mark.parametrize(
    ("spoil", "stage", "words"),
    [
        (lambda f: (f / "MLmodel").unlink(), "fetch", "MLmodel"),
        (lambda f: (f / "model.onnx").unlink(), "fetch", "model.onnx"),
        (lambda f: (f / "MLmodel").write_text("a: [b"), "fetch", "MLmodel"),
        (lambda f: (f / "MLmodel").write_bytes(b"\xff\xfe"), "fetch", "MLmodel"),
        (lambda f: (f / "MLmodel").write_text(""), "fetch", "MLmodel"),
        (lambda f: change(f, flavors={"sklearn": {}}), "fetch", "MLmodel"),
        (lambda f: change(f, flavors={"onnx": {"data": "../x"}}), "fetch", "outside its folder"),
        (lambda f: change(f, flavors={"onnx": {"data": "/x"}}), "fetch", "outside its folder"),
        (
            lambda f: change(f, flavors={"onnx": {"data": "MLmodel"}}),
            "session",
            "MLmodel is not an ONNX model",
        ),
        (lambda f: (f / "model.onnx").write_bytes(b"garbage"), "session", "not an ONNX model"),
        (lambda f: (f / "model.onnx").write_bytes(b""), "session", "not an ONNX model"),
        (
            lambda f: (f / "model.onnx").write_bytes(with_external_data("../../etc/passwd")),
            "fetch",
            "outside its folder",
        ),
        (
            lambda f: (f / "model.onnx").write_bytes(with_external_data("gone.bin")),
            "fetch",
            "gone.bin",
        ),
    ],
)
async def test_a_spoiled_artifact_is_a_failed_load(source_of, tmp_path, spoil, stage, words):
    """The error names the file, and nothing is left in the cache."""
    write_artifact(tmp_path / "store")
    spoil(tmp_path / "store")
    with pytest.raises(LoadError, match=words) as caught:
        await stored(source_of, tmp_path)
    assert caught.value.stage == stage
    assert left_in(tmp_path / "cache") == []


async def test_a_version_that_is_too_large(source_of, tmp_path):
    """All files count together."""
    files = write_artifact(tmp_path / "store")
    size = sum(map(len, files.contents.values()))
    with pytest.raises(LoadError, match="PREDICTOR_MAX_MODEL_BYTES"):
        await stored(source_of, tmp_path, most=size - 1)
    assert left_in(tmp_path / "cache") == []
    assert await stored(source_of, tmp_path, most=size)


async def test_the_registry_failing_at_the_download(source_of, tmp_path):
    """Is a failed load; the version that serves is not touched."""
    async with raw_server(http("500 Internal Server Error")) as address:
        with pytest.raises(LoadError, match="did not answer") as caught:
            await source_of(address).fetch(version(1))
    assert caught.value.stage == "fetch"


async def test_metrics_that_cannot_be_read_do_not_matter(source_of, tmp_path):
    """They are for people; the version serves without them."""
    write_artifact(tmp_path / "store")

    async def only_the_uri(head, writer):
        body = json.dumps({"artifact_uri": str(tmp_path / "store")}).encode()
        good = b"get-download-uri" in head
        writer.write(http("200 OK", body) if good else http("500 Internal Server Error"))

    async with raw_server(only_the_uri) as address:
        with capture_logs() as lines:
            assert (await source_of(address).fetch(version(1))).artifact.metrics == {}
    assert [(line["event"], line["model_version"]) for line in lines] == [("run_not_read", "1")]
    assert "500" in lines[0]["reason"]


async def test_a_cache_that_cannot_be_written_costs_only_the_cache(source_of, tmp_path):
    """A full or read-only disk: the version is fetched all the same, and the error says so."""
    (tmp_path / "file").write_text("in the way")
    write_artifact(tmp_path / "store")
    fetched = await stored(source_of, tmp_path, folder=tmp_path / "file")
    source = source_of("http://127.0.0.1:1", folder=tmp_path / "file")
    with pytest.raises(CacheError, match="serves from memory"):
        await source.remember(version(1), fetched)
    with pytest.raises(CacheError, match="was withdrawn"):
        await source.forget()
    assert await source.last_verified() is None


async def test_a_load_that_is_given_up_leaves_nothing(source_of, tmp_path):
    """Superseded half way through a download."""
    arrived = asyncio.Event()

    async def stall(head, writer):
        if b"get-download-uri" in head:
            writer.write(http("200 OK", b'{"artifact_uri": "mlflow-artifacts:/1/m"}'))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nflavors:")
        await writer.drain()
        arrived.set()
        await asyncio.sleep(60)

    async with raw_server(stall) as address:
        fetching = asyncio.create_task(source_of(address).fetch(version(1)))
        await arrived.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    assert left_in(tmp_path / "cache") == []


async def test_a_reused_number_is_fetched(source_of, tmp_path):
    """Version 1, deleted and made again, is not served from memory."""
    write_artifact(tmp_path / "store")
    old = await stored(source_of, tmp_path)
    source_of("http://127.0.0.1:1")._cache.remember(version(1), old)
    write_artifact(tmp_path / "store", classifier((9.0, 9.0)))
    new = await stored(source_of, tmp_path, replace(version(1), created_ms=99))
    assert new.artifact.digest != old.artifact.digest
    assert await stored(source_of, tmp_path) == old


async def test_closing_it_lets_go_of_its_connections(source_of):
    """Nobody asks through them any more."""
    source = source_of("http://127.0.0.1:1")
    await source.close()
    with pytest.raises(RuntimeError, match="client has been closed"):
        await source.aspired()


async def test_a_cache_that_others_may_write_is_not_read(source_of, tmp_path):
    """Nothing is restored from it; the log says so, under `cache_not_read`."""
    source = source_of("http://127.0.0.1:1")
    fetched = write_artifact(tmp_path / "made")
    await source.remember(ONE, fetched)
    assert await source.last_verified() == (ONE, fetched)
    (tmp_path / "cache" / "artifacts").chmod(0o777)
    with capture_logs() as logged:
        assert await source.last_verified() is None
    assert [line["event"] for line in logged] == ["cache_not_read"]
    with pytest.raises(CacheError, match="others may write"):
        await source.remember(ONE, fetched)
