"""axe, in every main state, light and dark, at four widths and on a phone; and letters of twice the size."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.page.chromium import running_chromium
from tests.page.desk import Desk
from tests.page.states import states
from tests.page.visitor import DESKTOP, PHONE, Visitor

pytestmark = pytest.mark.whole

OF_WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
CONTRAST = {
    "runOnly": {"type": "rule", "values": ["color-contrast"]}
}  # all that depends on colours
WIDTHS = (360, 768, 1024, 1440)
WIDER = "document.documentElement.scrollWidth - innerWidth"


async def faults(page, state, rules):
    """What axe says, of any impact, with where it is."""
    if state == "report":
        return []  # paper: all of it is hidden from screen readers, and so from axe
    result = (await Axe().run(page, options=rules)).response
    assert result["passes"], "axe looked at something"
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]}"
        for each in result["violations"]
    ]


async def test_axe_finds_nothing_at_four_widths_in_the_light_and_in_the_dark(site, visit, models):
    """By WCAG 2.2 AA and axe's own practice in the light; in the dark, contrast is what differs. No state is wider than the window.

    The narrow windows are so high that the bar with Predict, which stays at the bottom, covers no field.
    """
    desk = Desk(await visit(site.url, color_scheme="light", reduced_motion="reduce"))
    found, wide = {}, {}
    async for state in states(site, desk, models):
        for width in WIDTHS:
            await desk.page.set_viewport_size(
                {"width": width, "height": 900 if width > 736 else 6000}
            )
            found[state, width, "light"] = await faults(desk.page, state, OF_WCAG)
            await desk.page.emulate_media(color_scheme="dark")
            found[state, width, "dark"] = await faults(desk.page, state, CONTRAST)
            await desk.page.emulate_media(color_scheme="light")
            wide[state, width] = await desk.page.evaluate(WIDER)
        await desk.page.set_viewport_size(DESKTOP["viewport"])
    assert {state: each for state, each in found.items() if each} == {}
    assert {state: each for state, each in wide.items() if each > 0} == {}
    assert len(wide) == 12 * len(WIDTHS)


@pytest.mark.parametrize("path", ["", "ops", "docs"])
async def test_letters_of_twice_the_size_are_shown_as_such(site, models, path):
    """Of the page, not of the width of the window: the browser's own size of letters counts. Nothing is cut off."""
    async with running_chromium("--blink-settings=defaultFontSize=32") as chromium:
        visitor = await Visitor.arrive(chromium, viewport={"width": 1280, "height": 900})
        page = visitor.page
        await page.goto(site.url + path)
        if path == "":
            desk = Desk(visitor)
            await desk.is_in_state("ready")
            await desk.ask(models.record(number=3))
            await desk.drop("ward.csv", models.csv(3))
            await expect(desk.table.locator("tbody tr")).to_have_count(3)
        size = await page.locator("header").evaluate(
            "each => parseFloat(getComputedStyle(each).fontSize)"
        )
        assert size >= 28
        assert await page.evaluate(WIDER) <= 0
        assert visitor.witness.complaints == []


async def test_axe_finds_nothing_on_a_phone(site, visit, models):
    """In the dark. Its screen is so high that the bar with Predict, which stays at the bottom, covers no field."""
    high = {**PHONE, "viewport": {**PHONE["viewport"], "height": 5000}}
    desk = Desk(await visit(site.url, color_scheme="dark", reduced_motion="reduce", **high))
    found = {
        state: await faults(desk.page, state, OF_WCAG) async for state in states(site, desk, models)
    }
    assert {state: each for state, each in found.items() if each} == {}
    assert len(found) == 12
