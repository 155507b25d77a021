"""Sources that lead from one to another, by a registry of the test's own."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from predictor.errors import LoadError
from predictor.model_version import ModelUri
from predictor.registry.source import locate
from predictor.registry.versions import RegistryClient
from tests.predictor.parts import a_client, http, raw_server, version

RUN = {
    "info": {"artifact_uri": "s3://b/1/r/artifacts/", "experiment_id": "1"},
    "outputs": {"model_outputs": [{"model_id": "m-2"}, {"model_id": "m-1"}]},
}
MODELS = {
    "m-1": {"artifact_uri": "s3://b/models/m-1", "name": "net"},
    "m-2": {"artifact_uri": "s3://b/models/m-2", "name": "other"},
}


async def located(source, **others):
    """Where version 1 is, if it has this source; `others` are those of further versions."""
    sources = {"1": source, **{number.removeprefix("v"): each for number, each in others.items()}}

    async def reply(head, writer):
        url = urlsplit(head.split(b" ")[1].decode())
        query = {name: value[0] for name, value in parse_qs(url.query).items()}
        body = None
        if url.path.endswith("get-download-uri") and query["version"] in sources:
            body = {"artifact_uri": sources[query["version"]]}
        elif url.path.endswith("runs/get") and query["run_id"] == "r":
            body = {"run": RUN}
        elif (model := url.path.rpartition("/")[2]) in MODELS:
            body = {"model": {"info": MODELS[model]}}
        missing = http("404 Not Found", b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')
        writer.write(http("200 OK", json.dumps(body).encode()) if body else missing)

    async with raw_server(reply) as address, a_client(address) as client:
        return await locate(RegistryClient(client, ModelUri.parse("models:/m/1")), version(1))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("s3://b/x", "s3://b/x"), ("/folder", "/folder"), ("runs:/r/a/b", "s3://b/1/r/artifacts/a/b"),
        ("runs:/r/a%20b", "s3://b/1/r/artifacts/a b"), ("runs:/r", "s3://b/1/r/artifacts/"), ("RUNS:/r/x", "s3://b/1/r/artifacts/x"),
        ("runs:/r/net", "s3://b/models/m-1"), ("runs:/r/net/deep", "s3://b/models/m-1/deep"),
        ("models:/m-1", "s3://b/models/m-1"), ("models:/m/2", "s3://b/models/m-2"), ("models:/m/3", "s3://b/1/r/artifacts/x"),
    ],
)  # fmt: skip
async def test_a_source_is_followed_to_where_the_files_are(source, found):
    """Through runs, logged models and copies."""
    assert await located(source, v2="models:/m-2", v3="models:/m/4", v4="runs:/r/x") == found


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("runs:/gone/x", "no such run"), ("runs:/", "not of the form"), ("runs://host/r/x", "not of the form"),
        ("runs:/r/../../x", "outside its folder"), ("runs:/r/%2e%2e/x", "outside its folder"), ("runs:/r/x?y", "not of the form"),
        ("models:/m-9", "no such logged model"), ("models:/m/Production", "names no version"), ("models:/m@a", "names no version"),
        ("models:/m/2", "more than 5 times"), ("models:/", "not of the form"), ("models:/m-1/../x", "outside its folder"),
    ],
)  # fmt: skip
async def test_a_source_that_leads_nowhere_is_a_failed_load(source, words):
    """It says what is wrong with it; a circle ends."""
    with pytest.raises(LoadError, match=words) as caught:
        await located(source, v2="models:/m/3", v3="models:/m/2")
    assert caught.value.stage == "fetch"
