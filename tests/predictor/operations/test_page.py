"""The page: its files and their headers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from predictor.operations import page
from predictor.service import compose, create_api, wrap
from predictor.settings import Settings
from tests.predictor.live import Live

FILES = [page.PAGE, *page.ASSETS]
OPS_FILES = [f"ops/{name}" for name in (page.PAGE, *page.OPS_ASSETS)]
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
DOCS = [name.removesuffix(".gz") for name in page.DOCS_ASSETS]
PATHS = ["/", *(f"/web/{name}" for name in page.ASSETS)]
PATHS += ["/ops", *(f"/web/ops/{name}" for name in page.OPS_ASSETS)]
PATHS += ["/docs", *(f"/web/docs/{name}" for name in DOCS)]
NAMED = re.compile(r"""(?:href|src)="web/([^"]+)"|from "\./([^"]+)";""")
# Fetched when the card, turning points or columns are asked for.
LATER = {"assign.js", "card.js", "code.js", "curves.js", "history.js", "turning.js"}
REFERENCE = re.compile(r"""(?:href|src)="(web/[^"]+)"|from "\./([^"]+)";|import\("\./([^"]+)"\)""")


@pytest.fixture
async def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("PREDICTOR_CACHE_DIR", str(tmp_path))
    service = compose(Settings.read())
    transport = httpx.ASGITransport(wrap(create_api(service), service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def source(name: str) -> str:
    return (page.FOLDER / name).read_text()


def ops_source(name: str) -> str:
    return (page.OPS / name).read_text()


@pytest.mark.parametrize("path", PATHS)
async def test_every_file_comes_with_its_type_and_the_strict_headers(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    kind = TYPES.get(path.rpartition(".")[2], "text/html")
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"].split("; ")
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    } <= set(policy)
    assert not any("unsafe" in rule for rule in policy)


async def test_over_https_pages_send_strict_transport_security(tmp_path):
    """For a day only, because browsers apply it to every port of the host."""
    live = Live(tmp_path, tls_certificate=tmp_path / "certificate.pem")
    for path in ("/", "/docs", "/ops"):
        answer = await live.client.get(path)
        assert answer.headers["strict-transport-security"] == "max-age=86400"
    assert "strict-transport-security" not in (await live.client.get("/health")).headers


async def test_a_file_that_the_browser_has_is_not_sent_again(client):
    first = await client.get("/web/page.css")
    again = await client.get("/web/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/web/page.css", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


async def test_head_answers_like_get_without_the_body(client):
    sent = (await client.get("/")).content
    assert (await client.head("/")).headers["content-length"] == str(len(sent))


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/index.html",
        "/web/nothing.js",
        "/web/page.js/",
        "/web/../settings.py",
        "/web/..%2fsettings.py",
        "/web/%2e%2e/settings.py",
        "/web/..%5csettings.py",
        "/web/%2fetc%2fpasswd",
        "/web/page.js%00",
        "/index.html",
        "/page.js",
    ],
)
async def test_nothing_else_is_served(client, path):
    answer = await client.get(path)
    assert answer.status_code in {307, 404}
    assert "import" not in answer.text


async def test_the_page_is_not_in_the_api_document(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert not any(path in ("/", "/ops") or path.startswith("/web") for path in paths)


async def test_metrics_know_all_assets_under_one_label(client):
    await client.get("/web/page.js")
    await client.get("/web/page.css")
    text = (await client.get("/metrics")).text
    assert 'endpoint="/web/{name}"' in text
    assert "page.js" not in text


def test_every_file_that_is_referenced_is_served_and_every_served_one_is_referenced():
    found = {
        (match[1] or match[2] or match[3]).removeprefix("web/")
        for name in FILES
        for match in REFERENCE.finditer(source(name))
    }
    assert found == set(page.ASSETS)
    assert {file.name for file in page.FOLDER.iterdir() if file.is_file()} == set(FILES)


def test_the_operators_page_references_all_its_files_and_only_files_that_are_served():
    """It shares modules, colours and the icon with the page."""
    html = ops_source(page.PAGE)
    own = set(re.findall(r'(?:href|src)="web/ops/([^"]+)"', html))
    shared = set(re.findall(r'(?:href|src)="web/([^/"]+)"', html))
    for name in page.OPS_ASSETS:
        own |= set(re.findall(r'(?:from |import\()"\./([^"]+)"\)?', ops_source(name)))
        shared |= set(re.findall(r'from "\.\./([^"]+)";', ops_source(name)))
    assert own == set(page.OPS_ASSETS)
    assert shared <= set(page.ASSETS)
    assert {file.name for file in page.OPS.iterdir()} == {page.PAGE, *page.OPS_ASSETS}


@pytest.mark.parametrize("name", [*FILES, *OPS_FILES])
def test_nothing_comes_from_another_host(name):
    text = source(name).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"//[a-zA-Z0-9]|@import|\burl\(", text)


@pytest.mark.parametrize("name", [*FILES, *OPS_FILES])
def test_text_never_becomes_html_or_code(name):
    text = source(name)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\bsrc=)", text)


@pytest.mark.parametrize("other", ["english.js", "german.js"])
def test_the_page_is_small(other):
    """All that a browser fetches at first, which is one language, without comments and indentation."""
    fetched, new = set(), {page.PAGE}
    while new:
        fetched |= new
        named = {each for name in new for each in re.findall(NAMED, source(name))}
        new = {each[0] or each[1] for each in named} - fetched
    assert set(FILES) - fetched == {"english.js", "german.js", *LATER}
    fetched |= {"english.js", "german.js"} - {other}
    files = [page.File.read(page.FOLDER / name, "", https=False) for name in fetched]
    assert sum(len(file.content) for file in files) < 160_000


@pytest.mark.parametrize("name", [each for each in [*FILES, *OPS_FILES] if each.endswith(".js")])
def test_no_text_of_a_module_has_several_lines(name):
    """Nor does one look like a comment: neither indentation nor comments are sent."""
    for line in source(name).splitlines():
        assert not line.count("`") % 2, line
        code, *comment = re.split(r"(?:^|\s)//(?=\s|$)", line, maxsplit=1)
        assert not comment or not code.count('"') % 2, line
    sent = page.File.read(page.FOLDER / name, "", https=False).content.decode()
    assert len(sent.splitlines()) == len(source(name).splitlines())


@pytest.mark.parametrize("other", ["english.js", "german.js"])
def test_the_operators_page_is_smaller(other):
    """All that a browser fetches beside what it shares with the page, which is one language."""
    fetched = set(OPS_FILES) - {f"ops/{other}"}
    files = [page.File.read(page.FOLDER / name, "", https=False) for name in fetched]
    assert sum(len(file.content) for file in files) < 70_000


def test_the_page_itself_speaks_of_no_diagnosis():
    """The model's own texts do, if it has any."""
    assert not [name for name in FILES if re.search("(?i)diagnos|malignant|cancer", source(name))]
