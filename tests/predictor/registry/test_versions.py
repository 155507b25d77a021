"""What the registry says: the real one's every answer, and everything that is no answer."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from predictor.errors import (
    RegistryError,
    RegistryInvalidResponse,
    RegistryRefused,
    RegistryUnreachable,
)
from predictor.model_version import ModelUri
from predictor.registry.versions import RegistryClient
from tests.predictor.parts import a_client, http, raw_server

STAGE, ALIAS, PINNED = "models:/m/Production", "models:/m@champion", "models:/m/7"
FOUND = {"name": "m", "version": "7", "source": "s", "creation_timestamp": "12", "run_id": "r"}


async def ask(address, uri, *, seconds=10.0):
    async with a_client(address) as client:
        return await RegistryClient(client, ModelUri.parse(uri), seconds=seconds).aspired()


def ok(body):
    return http("200 OK", body if isinstance(body, bytes) else json.dumps(body).encode())


class TestRealServer:
    async def aspired(self, server, uri):
        found = await ask(server.url, uri)
        return found and found.version

    async def test_a_stage(self, mlflow_server, registered):
        """The version in it, with what the registry knows of it; nothing after its demotion."""
        name = registered.model(2)
        uri = f"models:/{name}/Production"
        assert await self.aspired(mlflow_server, uri) is None
        registered.stage(name, 2, "Production")
        found = await ask(mlflow_server.url, uri)
        assert (found.name, found.version, found.tags) == (name, "2", {"kind": "test"})
        assert found.created_ms > 0
        assert found.source
        registered.stage(name, 2, "Archived")
        assert await self.aspired(mlflow_server, uri) is None
        assert await self.aspired(mlflow_server, f"models:/{name}/Archived") == "2"

    async def test_an_alias(self, mlflow_server, registered):
        """Set, moved to a lower number, deleted."""
        name = registered.model(2)
        uri = f"models:/{name}@champion"
        assert await self.aspired(mlflow_server, uri) is None
        registered.alias(name, 2)
        assert await self.aspired(mlflow_server, uri) == "2"
        registered.alias(name, 1)
        assert await self.aspired(mlflow_server, uri) == "1"
        registered.delete_alias(name)
        assert await self.aspired(mlflow_server, uri) is None

    async def test_a_pinned_version(self, mlflow_server, registered):
        """It is there, or deleted, or never was."""
        name = registered.model(2)
        assert await self.aspired(mlflow_server, f"models:/{name}/2") == "2"
        registered.delete(name, 2)
        assert await self.aspired(mlflow_server, f"models:/{name}/2") is None
        assert await self.aspired(mlflow_server, f"models:/{name}/99") is None

    @pytest.mark.parametrize("pointer", ["/Production", "@champion", "/1"])
    async def test_a_model_that_is_not_registered(self, mlflow_server, pointer):
        """MLflow itself says so: no version is authorised."""
        assert await self.aspired(mlflow_server, f"models:/nobody{pointer}") is None

    async def test_a_reused_number_is_another_version(self, mlflow_server, registered):
        """Deleted and made again, told apart by its date."""
        name = registered.model(1)
        uri = f"models:/{name}/1"
        before = await ask(mlflow_server.url, uri)
        registered.delete_model(name)
        registered.model(1, name)
        after = await ask(mlflow_server.url, uri)
        assert before.version == after.version
        assert before != after

    async def test_an_edit_changes_the_revision(self, mlflow_server, registered):
        """A tag is a reason to try a failed version at once; the version stays the same one."""
        name = registered.model(1)
        before = await ask(mlflow_server.url, f"models:/{name}/1")
        registered.tag(name, 1, "note", "x")
        after = await ask(mlflow_server.url, f"models:/{name}/1")
        assert before == after
        assert before.revision != after.revision

    async def test_metrics_of_a_run(self, mlflow_server, registered):
        """Those that are numbers: JSON has no NaN."""
        run_id = registered.run(auc=0.5, undefined=float("nan"))
        async with a_client(mlflow_server.url) as client:
            registry = RegistryClient(client, ModelUri.parse(STAGE))
            assert await registry.run_metrics(run_id) == {"auc": 0.5}
            assert await registry.run_metrics("") == {}
            assert await registry.run_metrics("0" * 32) == {}

    async def test_files_of_a_version_that_is_gone(self, mlflow_server):
        """Between the poll and the load it may be deleted."""
        async with a_client(mlflow_server.url) as client:
            with pytest.raises(RegistryInvalidResponse, match="no files are known"):
                await RegistryClient(client, ModelUri.parse(STAGE)).download_uri("m", "9")


MISSING = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model not found"}
NO_ALIAS = {
    "error_code": "INVALID_PARAMETER_VALUE",
    "message": "Registered model alias champion not found.",
}


@pytest.mark.parametrize("uri", [STAGE, ALIAS, PINNED])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http("500 Internal Server Error", b"Traceback"), RegistryUnreachable),
        (http("502 Bad Gateway", b"<html>nginx</html>"), RegistryUnreachable),
        (http("503 Service Unavailable", json.dumps(MISSING).encode()), RegistryUnreachable),
        (http("504 Gateway Timeout"), RegistryUnreachable),
        (http("401 Unauthorized", b"log in"), RegistryRefused),
        (http("403 Forbidden", json.dumps(MISSING).encode()), RegistryRefused),
        (http("404 Not Found", b"<html>no such page</html>"), RegistryInvalidResponse),
        (http("404 Not Found"), RegistryInvalidResponse),
        (http("404 Not Found", b'{"detail": "Not Found"}'), RegistryInvalidResponse),
        (http("404 Not Found", b'{"error_code": "ENDPOINT_NOT_FOUND"}'), RegistryInvalidResponse),
        (http("404 Not Found", b'{"error_code": "\xff"}'), RegistryInvalidResponse),
        (http("404 Not Found", b"[" * 100_000), RegistryInvalidResponse),
        (http("400 Bad Request", b'{"error_code": "BAD_REQUEST"}'), RegistryInvalidResponse),
        (
            http("400 Bad Request", b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}'),
            RegistryInvalidResponse,
        ),
        (http("429 Too Many Requests"), RegistryInvalidResponse),
        (http("302 Found", b"", "Location: /login"), RegistryInvalidResponse),
        (http("204 No Content"), RegistryInvalidResponse),
        (ok(b""), RegistryInvalidResponse),
        (ok(b"<html>welcome</html>"), RegistryInvalidResponse),
        (ok(b'{"model_versions": [{"name": "m"'), RegistryInvalidResponse),
        (ok(b"null"), RegistryInvalidResponse),
        (ok(b"[]"), RegistryInvalidResponse),
        (ok(b'{"a": "\xff"}'), RegistryInvalidResponse),
        (ok({"error": "the upstream is down"}), RegistryInvalidResponse),
        (ok({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}), RegistryInvalidResponse),
        (ok(b'{"a": ' + b"[" * 100_000), RegistryInvalidResponse),
        (ok({"model_versions": 1, "model_version": 1}), RegistryInvalidResponse),
        (ok({"model_versions": [{}], "model_version": {}}), RegistryInvalidResponse),
        *(
            (ok({"model_versions": [{**FOUND, **odd}], "model_version": {**FOUND, **odd}}), RegistryInvalidResponse)
            for odd in (
                {"name": "another"}, {"version": ""}, {"version": "v7"}, {"version": None},
                {"version": "-1"}, {"name": None}, {"tags": 5},
            )
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", RegistryUnreachable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", RegistryUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", RegistryInvalidResponse),
        (b"SSH-2.0-OpenSSH_9.2\r\n", RegistryUnreachable),
        (b"", RegistryUnreachable),
    ],
)  # fmt: skip
async def test_an_invalid_response_is_an_error(uri, reply, kind):
    """Never None: a proxy's page must not stop the service."""
    async with raw_server(reply) as address:
        with pytest.raises(RegistryError) as caught:
            await ask(address, uri)
    assert type(caught.value) is kind
    assert address in str(caught.value)
    assert len(str(caught.value)) < 1000


async def test_an_empty_answer_is_only_an_answer_for_a_stage():
    """`{}` is how MLflow says that a stage is empty; an alias or a version is never empty."""
    async with raw_server(ok({})) as address:
        assert await ask(address, STAGE) is None
        for uri in (ALIAS, PINNED):
            with pytest.raises(RegistryInvalidResponse):
                await ask(address, uri)


async def test_an_alias_that_is_not_set_is_an_answer():
    """MLflow answers 400 for it."""
    async with raw_server(http("400 Bad Request", json.dumps(NO_ALIAS).encode())) as address:
        assert await ask(address, ALIAS) is None


async def test_dates_come_as_text_or_as_numbers():
    """Protobuf's JSON writes 64-bit integers as text, and MLflow as numbers."""
    other = {**FOUND, "creation_timestamp": 12}
    for found in (FOUND, other):
        async with raw_server(ok({"model_version": found, "new": [1]})) as address:
            assert (await ask(address, PINNED)).created_ms == 12


async def test_a_server_that_never_ends_its_answer():
    """A byte now and then keeps every timeout of the socket, and not the one of the whole."""

    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(drip) as address:
        with pytest.raises(RegistryUnreachable, match="no whole answer in"):
            await ask(address, STAGE, seconds=0.2)


async def test_an_answer_that_is_too_large():
    """Whatever it is, it is not kept in memory to find out."""
    async with raw_server(ok(b'{"a": "' + b" " * 17_000_000)) as address:
        with pytest.raises(RegistryInvalidResponse, match="larger than"):
            await ask(address, STAGE)


async def test_a_closed_port_is_an_error():
    """The address is in the error."""
    async with raw_server(b"") as address:
        pass
    with pytest.raises(RegistryUnreachable, match=address):
        await ask(address, STAGE)


async def test_names_are_quoted():
    """A model's name may hold anything that a URL gives a meaning to."""
    heads = []

    async def remember(head, writer):
        heads.append(head.split(b" ")[1])
        writer.write(ok({}))

    async with raw_server(remember) as address:
        await ask(address, "models:/a b&stages=None#é?/Production")
    query = parse_qs(urlsplit(heads[0].decode()).query)
    assert query == {"name": ["a b&stages=None#é?"], "stages": ["Production"]}


async def test_a_password_in_the_address_is_not_revealed():
    """Errors go to the log and to `/model`, where everyone reads them."""
    async with raw_server(http("500 Oops")) as address:
        url = address.replace("http://", "http://hospital:secret@")
        async with a_client(url) as client:
            with pytest.raises(RegistryUnreachable) as caught:
                await RegistryClient(client, ModelUri.parse("models:/m/1")).aspired()
    assert "secret" not in str(caught.value)
