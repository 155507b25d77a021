"""axe, in every main state, light and dark, on a phone and on a desktop."""

import pytest
from axe_playwright_python.async_playwright import Axe

from tests.page.desk import Desk
from tests.page.states import states
from tests.page.visitor import DESKTOP, PHONE

pytestmark = pytest.mark.whole

OF_WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
CONTRAST = {
    "runOnly": {"type": "rule", "values": ["color-contrast"]}
}  # all that depends on colours


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


async def test_axe_finds_nothing_on_a_desktop(site, visit, models):
    """By WCAG 2.2 AA and axe's own practice in the light; in the dark, contrast is what differs."""
    desk = Desk(await visit(site.url, color_scheme="light", reduced_motion="reduce", **DESKTOP))
    found = {}
    async for state in states(site, desk, models):
        found[state, "light"] = await faults(desk.page, state, OF_WCAG)
        await desk.page.emulate_media(color_scheme="dark")
        found[state, "dark"] = await faults(desk.page, state, CONTRAST)
        await desk.page.emulate_media(color_scheme="light")
    assert {state: each for state, each in found.items() if each} == {}
    assert len(found) == 24


async def test_axe_finds_nothing_on_a_phone(site, visit, models):
    """In the dark. Its screen is so high that the bar with Predict, which stays at the bottom, covers no field."""
    high = {**PHONE, "viewport": {**PHONE["viewport"], "height": 5000}}
    desk = Desk(await visit(site.url, color_scheme="dark", reduced_motion="reduce", **high))
    found = {
        state: await faults(desk.page, state, OF_WCAG) async for state in states(site, desk, models)
    }
    assert {state: each for state, each in found.items() if each} == {}
    assert len(found) == 12
