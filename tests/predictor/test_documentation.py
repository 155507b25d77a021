"""`/docs`: Swagger UI as it was published, from this service alone, and it works."""

import gzip
import hashlib
import re

from predictor.api import page
from predictor.keys import line_of
from tests.predictor.browser import browser
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

OPERATIONS = "[...document.querySelectorAll('.opblock-summary-path')].map(e => e.dataset.path)"

ANSWERED = ".live-responses-table tbody .response-col_status"


def test_what_is_not_ours_is_as_it_was_published():
    """Each file has the digest that is recorded; a licence is beside it."""
    table = (page.DOCS / "README.md").read_text()
    recorded = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", table))
    kept = {path.name.removesuffix(".gz"): path for path in page.DOCS.glob("*.gz")}
    assert recorded == {
        name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for name, path in kept.items()
    }
    assert {"LICENSE", "NOTICE"} <= {path.name for path in page.DOCS.iterdir()}


def test_the_page_names_files_of_its_own_only():
    """All that it names is served, and all that is served it names."""
    html = (page.DOCS / page.PAGE).read_text()
    named = set(re.findall(r'(?:src|href)="web/docs/([^"]+)"', html))
    assert named == {name.removesuffix(".gz") for name in page.DOCS_ASSETS}
    assert "//" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=", html)


async def test_a_browser_shows_every_operation_without_another_host(tmp_path):
    """Under a policy that forbids what is inline; a key given to "Authorize" is sent."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("frontend", "k3y"))
    live = Live(tmp_path, api_keys_file=keys)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address, browser() as tab:
        await tab.open(f"http://127.0.0.1:{address.port}/docs")
        await tab.until(f"{OPERATIONS}.length")
        document = (await live.client.get("/openapi.json")).json()
        assert set(await tab.value(OPERATIONS)) == set(document["paths"])
        assert await tab.value("document.querySelectorAll('.errors').length") == 0
        await tab.click(".btn.authorize")
        await tab.type(".auth-container input", "k3y")
        await tab.click(".auth-btn-wrapper .authorize")
        await tab.click(".btn-done")
        await tab.click("[data-path='/predict']")
        await tab.click(".try-out__btn")
        await tab.click(".execute")
        await tab.until(f"document.querySelector('{ANSWERED}')?.textContent.startsWith('200')")
        assert tab.complaints == []
        assert tab.hosts == {f"127.0.0.1:{address.port}"}
    await live.reconciler.close()
