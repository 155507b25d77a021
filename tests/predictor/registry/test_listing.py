"""The list of a model's versions: from a real MLflow, and from servers that send too much or nothing of use."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from predictor.errors import RegistryInvalidResponse, RegistryUnreachable
from predictor.model_version import ModelUri
from predictor.registry.listing import list_versions
from predictor.registry.versions import RegistryClient
from tests.predictor.parts import a_client, http, raw_server


async def listed(address, name, *named, seconds=10.0):
    async with a_client(address) as client:
        registry = RegistryClient(client, ModelUri.parse(f"models:/{name}/Production"))
        registry.no_version_reason = "as before"
        found = await list_versions(registry, named, seconds=seconds)
        assert registry.no_version_reason == "as before"
        return found


async def test_versions_with_stages_aliases_and_tags(mlflow_server, registered):
    """The highest number first."""
    name = registered.model(3, name="it's served")
    registered.stage(name, 2, "Production")
    registered.alias(name, 1)
    registered.tag(name, 3, "parity", "passed")
    found = await listed(mlflow_server.url, name)
    assert [(each.version.version, each.stage) for each in found.versions] == [
        ("3", "None"), ("2", "Production"), ("1", "None"),
    ]  # fmt: skip
    assert found.versions[0].version.tags["parity"] == "passed"
    assert (found.aliases, found.more) == ({"champion": "1"}, False)
    registered.delete_model(name)


@pytest.mark.whole  # it registers many
async def test_of_many_versions_the_newest_and_those_that_something_names(
    mlflow_server, registered
):
    """An old champion, the version of an alias, and the one that serves are never missing."""
    name = registered.model(60)
    registered.stage(name, 2, "Production")
    registered.alias(name, 3)
    found = await listed(mlflow_server.url, name, "4", "99")
    numbers = [each.version.number for each in found.versions]
    assert numbers == [*range(60, 10, -1), 4, 3, 2]
    assert found.more
    assert {each.version.version: each.stage for each in found.versions}["2"] == "Production"


async def test_a_model_that_is_not_registered_has_none(mlflow_server):
    found = await listed(mlflow_server.url, "nobody")
    assert (found.versions, found.more) == ((), False)


def version(number, **members):
    return {"name": "m", "version": str(number), **members}


def answering(search):
    """A registry whose model has no aliases; `search` makes the answer to a search for at most so many."""
    asked = []

    async def answer(head, writer):
        path = urlsplit(head.split(b" ")[1].decode())
        asked.append(path.path.rpartition("/")[2])
        body = {"registered_model": {"name": "m"}}
        if path.path.endswith("search"):
            body = search(int(parse_qs(path.query)["max_results"][0]))
        writer.write(http("200 OK", json.dumps(body).encode()))

    return raw_server(answer), asked


async def test_where_fifty_versions_have_too_many_tags_ten_are_listed():
    """A long history is in tags, and a response that is too large is not read."""
    tags = [{"key": f"t{number}", "value": "{}" * 2} for number in range(30)]

    def search(most):
        found = [version(number, tags=tags) for number in range(most, 0, -1)]
        return {"model_versions": found, "next_page_token": "more"}

    server, asked = answering(search)
    async with server as address:
        found = await listed(address, "m")
    assert len(found.versions) == 10
    assert found.more
    assert asked == ["get", "search", "search"]


@pytest.mark.parametrize(
    "body",
    [
        {"model_versions": [{"name": "other", "version": "1"}]},
        {"model_versions": [{"name": "m", "version": "-1"}]},
        {"model_versions": [{"name": "m", "version": "1", "run_id": "\u001b[2J"}]},
        {"model_versions": {}},
    ],
)
async def test_a_response_about_something_else_is_refused(body):
    server, _ = answering(lambda _: body)
    async with server as address:
        with pytest.raises(RegistryInvalidResponse):
            await listed(address, "m")


async def test_a_registry_that_answers_slowly_is_given_up():
    """All requests together have the time of one."""

    async def never(_, writer):
        await writer.wait_closed()

    async with raw_server(never) as address:
        with pytest.raises(RegistryUnreachable, match=r"no whole answer in 0\.1 s"):
            await listed(address, "m", seconds=0.1)
