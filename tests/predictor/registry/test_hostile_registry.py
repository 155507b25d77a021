"""A registry that lies: whatever it answers, memory and the event loop are kept, and the fault is told.

Every answer comes through a real socket from a server of bytes.
"""

import asyncio
import gzip
import json
import resource
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.errors import LoadError, RegistryError, RegistryInvalidResponse
from predictor.model_version import ModelUri
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.client import tracking_server
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings
from tests.predictor.parts import a_client, http, raw_server

pytestmark = pytest.mark.whole

PINNED = "models:/m/7"
FOUND = {"name": "m", "version": "7", "source": "s", "creation_timestamp": 12, "run_id": "r"}


async def ask(address, uri=PINNED):
    async with a_client(address) as client:
        return await RegistryClient(client, ModelUri.parse(uri)).aspired()


def ok(body, *headers):
    return http("200 OK", body if isinstance(body, bytes) else json.dumps(body).encode(), *headers)


def bomb():
    """200 MB of zeros in half a kilobyte."""
    return gzip.compress(gzip.compress(bytes(200_000_000), 1), 9)


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, gzip", bomb), ("gzip", lambda: gzip.compress(b"{}")), ("GZIP", lambda: gzip.compress(b"{}")),
        ("x-gzip", lambda: gzip.compress(b"{}")), ("deflate", lambda: zlib.compress(b"{}")), ("br", lambda: b"\x06{}"),
        ("zstd", lambda: b"\x28\xb5\x2f\xfd"), ("identity, gzip", lambda: gzip.compress(b"{}")), ("odd", lambda: b"{}"),
    ],
)  # fmt: skip
async def test_a_compressed_response_is_refused_before_decompression(encoding, body):
    """It was asked for as it is; a client that unpacks half a kilobyte has 200 MB then."""
    content, heads = body(), []

    async def reply(head, writer):
        heads.append(head.lower())
        writer.write(ok(content, f"Content-Encoding: {encoding}"))

    before = peak_megabytes()
    async with raw_server(reply) as address:
        with pytest.raises(RegistryInvalidResponse, match="compressed"):
            await ask(address)
        async with a_client(address) as client:
            with pytest.raises(LoadError, match="compressed"):
                await ArtifactStores(client).open("mlflow-artifacts:/1/m").read("MLmodel", 10**9)
    assert all(b"accept-encoding: identity\r\n" in head for head in heads)
    assert peak_megabytes() - before < 100


async def test_an_answer_as_it_was_asked_for():
    """`identity` is no compression."""
    async with raw_server(ok({"model_version": FOUND}, "Content-Encoding: Identity")) as address:
        assert (await ask(address)).version == "7"


@pytest.mark.parametrize("head", ["Content-Length: 99999999999", "Transfer-Encoding: chunked"])
async def test_a_body_without_end_is_read_to_the_bound(head):
    """Whatever its length is said to be."""

    async def flood(_, writer):
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        piece = b" " * 65_536
        while True:
            writer.write(piece if "Length" in head else b"10000\r\n" + piece + b"\r\n")
            await writer.drain()

    async with raw_server(flood) as address:
        with pytest.raises(RegistryInvalidResponse, match="larger than 1,000,000 bytes"):
            await ask(address)


@pytest.mark.parametrize(
    "number",
    [
        "9" * 400, "9" * 19, "0", "07", "+7", " 7", "7 ", "7\n", "-7", "7.0", "7e0", "²", "\u0667", "\uff17", "0x7", "", "v7",
        "7" * 100_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("uri", ["models:/m/Production", "models:/m@champion"])
async def test_a_number_that_is_no_versions_is_an_invalid_response(number, uri):
    """A version's number is decimal, without a zero in front, and fits into 64 bits."""
    found = {**FOUND, "version": number}
    async with raw_server(ok({"model_versions": [found], "model_version": found})) as address:
        with pytest.raises(RegistryInvalidResponse) as caught:
            await ask(address, uri)
    assert len(str(caught.value)) < 1000


async def test_the_largest_number_is_served():
    """18 digits."""
    found = {**FOUND, "version": "9" * 18}
    async with raw_server(ok({"model_version": found})) as address:
        assert (await ask(address, "models:/m@champion")).number == 10**18 - 1


async def test_another_version_than_the_pinned_one_is_refused():
    """The right name is not enough."""
    async with raw_server(ok({"model_version": {**FOUND, "version": "8"}})) as address:
        with pytest.raises(RegistryInvalidResponse, match="asked for models:/m/7"):
            await ask(address)


@pytest.mark.parametrize(
    "odd",
    [
        {"creation_timestamp": -1}, {"creation_timestamp": 10**30}, {"creation_timestamp": 1.5},
        {"last_updated_timestamp": 10**400}, {"creation_timestamp": "9" * 5000}, {"source": "a\nb"},
        {"source": "s" * 10_000}, {"run_id": "r\u0000"}, {"run_id": "\u202e"}, {"name": "m\n"}, {"tags": {}},
        {"tags": [[]]}, {"tags": [{"key": 1}]}, {"tags": [{"value": "no key"}]},
    ],
)  # fmt: skip
async def test_a_field_that_is_none_of_mlflows_is_an_invalid_response(odd):
    """A date, a name, a source, a run or a tag."""
    async with raw_server(ok({"model_version": {**FOUND, **odd}})) as address:
        with pytest.raises(RegistryInvalidResponse):
            await ask(address)


@pytest.mark.parametrize("tags", [2_500, 200_000])
async def test_too_many_tags_are_refused_without_being_read(tags):
    """Reading 200,000 held the event loop for a fifth of a second."""
    many = [{"key": f"k{n}", "value": "v"} for n in range(tags)]
    answer = ok({"model_version": {**FOUND, "tags": many}})
    async with raw_server(answer) as address:
        started = time.process_time()
        with pytest.raises(RegistryInvalidResponse, match=r"larger than|more than 2,000 objects"):
            await ask(address)
        print(f"{tags} tags: {(time.process_time() - started) * 1000:.1f} ms of processor")


async def test_many_tags_are_read():
    """A thousand with a hundred characters each; texts may hold what they like."""
    many = [{"key": f"k{n}", "value": "{}" + "v" * 98} for n in range(900)]
    async with raw_server(ok({"model_version": {**FOUND, "tags": many}})) as address:
        assert len((await ask(address)).tags) == 900


@pytest.mark.parametrize("cookies", [200])
async def test_cookies_are_not_kept(cookies):
    """Nor sent: each question stands alone."""
    heads = []

    async def reply(head, writer):
        heads.append(head)
        names = (f"Set-Cookie: c{len(heads)}-{n}={'v' * 100}" for n in range(cookies))
        writer.write(ok({"model_version": FOUND}, *names))

    async with raw_server(reply) as address:
        server = tracking_server(Settings.model_validate({"MLFLOW_TRACKING_URI": address}))
        registry = RegistryClient(server, ModelUri.parse(PINNED))
        await registry.aspired()
        await registry.aspired()
        await server.close()
    assert len(heads) == 2
    assert not any(b"cookie" in head.lower() for head in heads)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["m", "7", "RESOURCE_DOES_NOT_EXIST", "9" * 400, "\u0000"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            [*FOUND, "model_version", "model_versions", "tags", "key", "value", "run", "data", "metrics", "info",
             "artifact_uri", "error_code", "message", "outputs", "model_outputs", "model", "last_updated_timestamp"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip
STATUS = st.integers(100, 699) | st.sampled_from([200, 200, 200, 400, 401, 403, 404, 500])


@given(body=JSON | st.binary(max_size=50), status=STATUS, wrong=st.sampled_from([0, 0, 0, -1, 5]))
def test_nothing_but_a_registry_error_leaves_the_registry(body, status, wrong):
    """Whatever is answered to any question, with any status and length."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} x",
        f"Content-Length: {max(0, len(content) + wrong)}",
        "Connection: close",
    ]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + content

    async def all_questions():
        async with raw_server(answer) as address, a_client(address) as client:
            for uri in ("models:/m/Production", "models:/m@a", PINNED):
                registry = RegistryClient(client, ModelUri.parse(uri), seconds=5)
                for question in (
                    registry.aspired(), registry.download_uri("m", "7"), registry.run_metrics("r"),
                    registry.logged_model("m-1"),
                ):  # fmt: skip
                    try:
                        await question
                    except RegistryError as error:
                        said.append(str(error))

    said = []
    asyncio.run(all_questions())
    assert all(len(each) < 1500 and each.isprintable() for each in said)
