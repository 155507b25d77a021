"""`/docs`: Swagger UI as it was published, from this service alone, and it works."""

import gzip
import hashlib
import itertools
import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from predictor.keys import line_of
from predictor.operations import page
from tests.page.test_accessibility import OF_WCAG, WIDER, WIDTHS
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

pytestmark = pytest.mark.whole


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


async def test_it_names_the_model_leads_back_and_is_dark_where_the_system_is(site, visit):
    """Also while it is open; what else it shows is Swagger UI's own."""
    tab = (await visit(f"{site.url}docs", color_scheme="dark")).page
    await expect(tab.locator("header")).to_contain_text("breast-cancer version 7")
    await expect(tab).to_have_title("breast-cancer, version 7 · API")
    luminance = """() => [...document.querySelectorAll("html, header, .opblock, .swagger-ui .info")].map((each) => {
      for (let at = each; at; at = at.parentElement) {
        const [r, g, b, a = 1] = getComputedStyle(at).backgroundColor.match(/[\\d.]+/g).map(Number);
        if (a > 0.5) return r + g + b;
      }
    }).every((light) => light < 3 * 80)"""
    await expect(tab.locator(".opblock").first).to_be_visible()
    await expect(tab.locator(".scheme-container")).to_be_hidden()
    assert await tab.evaluate(luminance)
    await tab.emulate_media(color_scheme="light")
    await expect(tab.locator("html")).not_to_have_class("dark-mode")
    await tab.get_by_role("link", name="Page").click()
    await expect(tab.locator("body")).to_have_attribute("data-state", "ready")


async def test_a_browser_shows_every_operation_without_another_host(tmp_path, visit):
    """Under a policy that forbids what is inline; a key given to "Authorize" is sent."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("frontend", "k3y"))
    live = Live(tmp_path, api_keys_file=keys)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        tab = (await visit(f"http://127.0.0.1:{address.port}/docs")).page
        document = (await live.client.get("/openapi.json")).json()
        operations = tab.locator(".opblock-summary-path")
        await expect(operations).to_have_count(sum(map(len, document["paths"].values())))
        shown = await operations.evaluate_all("all => all.map(each => each.dataset.path)")
        assert set(shown) == set(document["paths"])
        await expect(tab.locator(".errors")).to_have_count(0)
        await tab.locator(".btn.authorize").click()
        await tab.locator(".auth-container input").fill("k3y")
        await tab.locator(".auth-btn-wrapper .authorize").click()
        await tab.locator(".btn-done").click()
        await tab.locator("[data-path='/predict']").click()
        await tab.locator(".try-out__btn").click()
        await tab.locator(".execute").click()
        answered = tab.locator(".live-responses-table tbody .response-col_status")
        await expect(answered.first).to_contain_text("200")
    await live.reconciler.close()


async def test_it_fits_every_width_and_its_own_line_is_accessible(site, visit):
    """Closed and open, in the light and in the dark. Below the line is Swagger UI as it was published; its landmarks are checked."""
    tab = (await visit(f"{site.url}docs", reduced_motion="reduce")).page
    await expect(tab.locator(".opblock").first).to_be_visible()
    for opened in (False, True):
        if opened:
            await tab.locator(".opblock-summary-control", has_text="/predict").first.click()
            await expect(tab.locator(".responses-table").first).to_be_visible()
        for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
            await tab.set_viewport_size({"width": width, "height": 900})
            await tab.emulate_media(color_scheme=scheme)
            assert await tab.evaluate(WIDER) <= 0, (width, opened)
            found = (await Axe().run(tab, context="header", options=OF_WCAG)).response
            assert found["violations"] == [], (width, scheme)
    found = (await Axe().run(tab, options={"runOnly": ["best-practice"]})).response["violations"]
    assert not [each["id"] for each in found if each["id"].startswith("landmark")]
