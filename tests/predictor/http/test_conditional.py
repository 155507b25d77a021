"""Conditional requests: a frontend that asks again and again hears of a new version, and of nothing else."""

import httpx
import pytest

from predictor.http.conditional import matches, strong_etag, weak_etag
from predictor.keys import line_of
from tests.predictor.graphs import OURS, classifier
from tests.predictor.live import Live
from tests.predictor.parts import version
from tests.predictor.sockets import listening

CONTENT = b"what is said"
TAG = strong_etag(CONTENT)
LONG = f'"{"x" * 1000}"'
WATCHED = ("/model", "/openapi.json")


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    yield made
    await made.client.aclose()
    await made.reconciler.close()


@pytest.mark.parametrize(
    ("tags", "has"),
    [
        (TAG, True), (f"W/{TAG}", True), ("*", True), (f'"a", {TAG}', True), (f' "a,b" ,,{TAG},', True),
        ('"other"', False), ('W/"other"', False), (TAG.strip('"'), False), (f"w/{TAG}", False),
        (f"{TAG} nonsense", False), (f'"a" {TAG}', False), ("*, *", False), (f'"{TAG}"', False), (",", False),
        ("", False), (f"{LONG}, {TAG}", False),
    ],
)  # fmt: skip
def test_tags_are_compared_weakly_in_a_list_of_any_length(tags, has):
    """RFC 9110, section 13.1.2; what is no list of tags names none."""
    assert matches(strong_etag(CONTENT), [tags]) is has
    assert matches(weak_etag(CONTENT), [tags]) is has


def test_a_list_may_come_in_several_fields():
    """Section 5.3: as if they were one."""
    assert matches(TAG, ['"a"', TAG])


@pytest.mark.parametrize("path", WATCHED)
async def test_a_frontend_notices_a_new_version(live, path):
    """It asks with the tag of what it has: not modified, not modified, and after a swap the new one."""
    await live.serve(1, OURS)
    first = await live.client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Authorization, X-API-Key"
    asks = {"If-None-Match": first.headers["etag"]}
    for _ in range(2):
        await live.reconciler.reconcile()  # the registry answers again, which is no news
        again = await live.client.get(path, headers=asks)
        assert (again.status_code, again.content) == (304, b"")
        assert {"etag", "cache-control", "vary"} <= set(again.headers)
    await live.serve(2, OURS)
    told = await live.client.get(path, headers=asks)
    assert told.status_code == 200
    assert '"2"' in told.text
    assert told.headers["etag"] != first.headers["etag"]
    await live.say(None)
    assert (await live.client.get(path, headers=asks)).status_code == 200


async def test_head_tells_the_same_without_the_body(live):
    """And HEAD too is conditional."""
    await live.serve(1, OURS)
    async with (
        listening(live.app, live.service) as address,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{address.port}") as client,
    ):
        for path in WATCHED:
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("etag", "content-type", "cache-control"):
                assert head.headers[name] == got.headers[name]
            again = await client.head(path, headers={"If-None-Match": got.headers["etag"]})
            assert again.status_code == 304


async def test_a_version_that_fails_to_load_is_news_of_the_model_alone(live):
    """`/model` says so; the API is as it was."""
    await live.serve(1, OURS)
    before = {path: (await live.client.get(path)).headers["etag"] for path in WATCHED}
    live.source.broken["2"] = "no such file"
    await live.say(version(2))
    after = {path: (await live.client.get(path)).headers["etag"] for path in WATCHED}
    assert before["/model"] != after["/model"]
    assert before["/openapi.json"] == after["/openapi.json"]


async def test_the_same_document_has_the_same_tag(tmp_path):
    """In every process that serves the version; another model has another."""
    tags = []
    for number, model in enumerate((OURS, OURS, classifier((2.0, -1.0)))):
        live = Live(tmp_path / str(number))
        await live.serve(1, model)
        tags.append((await live.client.get("/openapi.json")).headers["etag"])
        await live.reconciler.close()
    assert tags[0] == tags[1] != tags[2]


async def test_a_key_that_sees_more_has_another_tag(tmp_path):
    """So what was kept for one is not shown to the other."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("frontend", "k3y"))
    live = Live(tmp_path, api_keys_file=keys)
    await live.serve(1, OURS)
    blank = await live.client.get("/openapi.json")
    asks = {"X-API-Key": "k3y", "If-None-Match": blank.headers["etag"]}
    assert (await live.client.get("/openapi.json", headers=asks)).status_code == 200
    await live.reconciler.close()
