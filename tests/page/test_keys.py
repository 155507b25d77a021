"""The page where keys are asked for, in a real browser: it asks for one, and keeps it nowhere."""

import re

import pytest
from playwright.async_api import expect

from predictor.keys import line_of
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

pytestmark = pytest.mark.whole

STORED = """async () => [localStorage.length, sessionStorage.length, document.cookie, location.href,
                         (await indexedDB.databases()).length, history.length]"""


async def test_the_page_asks_for_a_key_and_keeps_it_nowhere(tmp_path, visit):
    """/events refuses it, and yet it shows what serves; a wrong key is asked for again."""
    files = {name: tmp_path / name for name in ("api_keys_file", "operations_keys_file")}
    for path in files.values():
        path.write_text(line_of("frontend", "k3y"))
    files["operations_keys_file"].write_text(line_of("prometheus", "other"))
    live = Live(tmp_path, **files)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        visitor = await visit(f"http://127.0.0.1:{address.port}/")
        tab, access = visitor.page, visitor.page.locator("#access")
        await expect(tab.locator("#model-version")).to_have_text("Version 7")
        await expect(tab.locator("body")).to_have_attribute("data-state", "locked")
        before = await tab.evaluate(STORED)
        await tab.get_by_role("button", name=re.compile("^Example")).click()
        await tab.get_by_role("button", name="Predict").click()
        field = tab.get_by_label("API key")
        asked = address.asked.count("/predict")
        await expect(field).to_be_focused()
        for wrong in ("wrong", "k\u20acy"):  # no header takes the second one
            await field.fill(wrong)
            await access.get_by_role("button").click()
            await expect(access).to_contain_text("does not accept this key")
            await expect(field).to_be_focused()
        await expect(tab.locator("body")).to_have_attribute("data-state", "locked")
        assert address.asked.count("/predict") == asked  # it is checked without a prediction
        await field.fill("k3y")
        async with tab.expect_response("**/predict"):
            await access.get_by_role("button").click()
        await expect(tab.locator(".prediction")).to_have_text(re.compile("malignant|benign"))
        await expect(tab.locator("body")).to_have_attribute("data-state", "ready")
        await expect(access).to_be_hidden()
        await expect(field).to_have_value("")
        assert "k3y" not in await tab.content()
        assert await tab.evaluate(STORED) == before
        assert not [asked for asked in visitor.witness.asked if "k3y" in asked]
        assert address.asked.count("/events") < 4  # not again and again with a key that may not
        await tab.get_by_text("What is this model?").click()
        await expect(tab.locator("#model-card")).to_contain_text("m, version 7")
        await expect(tab.get_by_role("link", name="The page for operators")).to_have_count(0)
        live.journal.close()
    await live.reconciler.close()
