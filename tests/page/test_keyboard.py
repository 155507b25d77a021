"""Without a mouse, and with a screen reader: every step by keys, and the focus where the news is."""

import pytest
from playwright.async_api import expect

from tests.page.visitor import PHONE

pytestmark = pytest.mark.whole

NAME = "at => at.name || at.textContent.trim() || at.ariaLabel || at.id"
CALLED = "at => at.name || at.ariaLabel || at.textContent.trim() || at.id"
OUTLINED = """[document.activeElement, document.activeElement.closest("label")]
  .some((at) => at && getComputedStyle(at).outlineStyle !== "none")"""
REACHABLE = f"""[...document.querySelectorAll("a, button, input, select, textarea, [tabindex='0']")]
  .filter(at => !at.disabled && at.checkVisibility()).map({NAME})"""


async def test_a_record_by_keys_alone(site, desk, models):
    """The skip link first, then the measurements in the order of the model, and Enter asks."""
    await desk.page.keyboard.press("Tab")
    await desk.page.keyboard.press("Enter")
    record = models.record(number=2)
    for _ in range(12):
        await desk.page.keyboard.press("Tab")
        if await desk.page.evaluate("document.activeElement.name") == next(iter(record)):
            break
    for place, (feature, value) in enumerate(record.items()):
        await expect(desk.field(feature)).to_be_focused()
        await desk.page.keyboard.insert_text(str(value))
        await desk.page.keyboard.press("Tab" if place < len(record) - 1 else "Enter")
    await expect(desk.prediction).to_have_text("malignant")


class Keys:
    """Goes to what has a name by Tab alone, forwards or back, and presses it; the focus is never lost, and always seen."""

    def __init__(self, desk):
        self.page = desk.page

    async def to(self, name, key="Tab"):
        for _ in range(200):
            found = await self.page.evaluate(f"({CALLED})(document.activeElement)")
            if found == name:
                return
            await self.page.keyboard.press(key)
            await self.is_seen()
        raise AssertionError(f"no {name!r} by {key}")

    async def press(self, name, key="Enter", by="Tab"):
        await self.to(name, by)
        await self.page.keyboard.press(key)
        await self.is_not_lost()

    async def is_seen(self):
        at = self.page.locator(":focus")
        await expect(at).to_be_in_viewport()
        assert await self.page.evaluate(OUTLINED), await at.evaluate(CALLED)

    async def is_not_lost(self):
        await expect(self.page.locator("body:focus")).to_have_count(0)
        assert await self.page.evaluate("document.activeElement !== document.body")


async def test_the_whole_journey_by_keys_alone(desk, models):
    """From the first Tab over answer, turning points, comparison, report, code and card to the list's file."""
    keys, page = Keys(desk), desk.page
    await page.keyboard.press("Tab")
    await keys.press("Skip to the form")
    await keys.press("Example: benign")
    await keys.press("Predict")
    await expect(desk.prediction).to_have_text("benign")
    await expect(page.locator(".working")).to_have_count(0)
    await keys.press("Turning points")
    await expect(page.locator(".curve").first).to_be_visible()
    await keys.to("mean_radius", "Shift+Tab")
    for _ in range(3):
        await page.keyboard.press("ArrowUp")
    await expect(page.locator("#progress")).to_contain_text("malignant")
    await keys.is_not_lost()
    await page.keyboard.press("Tab")
    await expect(page.locator(".what-if")).to_be_focused()
    await page.keyboard.press("PageUp")
    await page.keyboard.press("Enter")  # in the form, it asks
    await keys.press("Undo", by="Shift+Tab")
    await keys.press("Example: malignant", by="Shift+Tab")
    await keys.press("Predict")
    await expect(page.get_by_label("Compare answer 2")).to_be_attached()
    for number in (2, 1):
        await keys.press(f"Compare answer {number}", "Space")
    await expect(page.locator(".compared")).to_be_visible()
    await keys.press("Open the values of answer 1")
    await expect(page.locator("#answer-card")).to_be_focused()
    await expect(page.locator(".working")).to_have_count(0)
    await desk.visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await keys.press("Copy as text")
    await expect(page.locator("#report-tools")).to_contain_text("Copied.")
    async with page.expect_download():
        await keys.press("Save as JSON")
    await keys.press("Use from code")
    await expect(page.locator("#code pre")).to_have_count(3)
    await keys.press("Copy: curl")
    await keys.press("What is this model?")
    await expect(page.locator("#model-card table").first).to_be_visible()
    await _a_list_by_keys(desk, keys, models)


async def _a_list_by_keys(desk, keys, models):
    """Its columns are assigned, it is sorted, filtered, mended, downloaded, closed."""
    page, table = desk.page, desk.table
    await keys.press("Paste rows", by="Shift+Tab")
    rows = models.csv(3).replace("mean_area", "size").replace("\nP-003,", "\nP-003,oops")
    await page.keyboard.insert_text(rows)
    await keys.press("Use these rows")
    await expect(page.get_by_role("combobox", name="Mean area")).to_be_focused()
    await page.keyboard.type("size")
    await keys.press("Use these columns")
    await expect(table.locator("tbody tr")).to_have_count(3)
    await expect(page.locator("#predictions")).to_be_focused()
    await keys.to("Filter")
    await page.keyboard.type("P-0")
    await keys.press("Prediction")
    await expect(table.get_by_role("button", name="Prediction")).to_be_focused()
    await keys.to("Mean radius of row 3")
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.type("17")
    await page.keyboard.press("Enter")
    await expect(table).not_to_contain_text("Not answered")
    await expect(page.get_by_role("button", name="Open row 3")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#answer-card")).to_be_focused()
    async with page.expect_download():
        await keys.press("Download CSV")
    await keys.press("Close")
    await expect(page.get_by_label("Open a CSV file")).to_be_focused()


async def test_everything_is_reached_in_its_order_and_the_focus_is_seen(desk, models):
    """Nothing is for the mouse only, and nothing holds the focus."""
    expected = await desk.page.evaluate(REACHABLE)
    assert [name for name in expected if name in models.benign] == list(models.benign)
    found = []
    for _ in expected:
        await desk.page.keyboard.press("Tab")
        found.append(await desk.page.evaluate(f"({NAME})(document.activeElement)"))
        at = desk.page.locator(":focus")
        await expect(at).to_be_visible()
        assert await desk.page.evaluate(OUTLINED), found[-1]
    assert found == expected


async def test_rows_are_pasted_into_the_text_area_by_keys(desk, models):
    """For a text that is typed instead of pasted: the box is opened, filled, used."""
    opener = desk.button("Paste rows")
    await opener.focus()
    await desk.page.keyboard.press("Enter")
    await expect(opener).to_have_attribute("aria-expanded", "true")
    area = desk.page.get_by_label("Rows from a spreadsheet")
    await expect(area).to_be_focused()
    await desk.page.keyboard.insert_text("\t".join(map(str, models.benign.values())))
    await desk.button("Use these rows").press("Enter")
    await expect(desk.field("mean_radius")).to_have_value(str(models.benign["mean_radius"]))


async def test_the_focus_stays_where_a_key_was_pressed(site, desk, models):
    """On Predict while it asks, in the answer, in the list and among the answers when another version answers; never on nothing."""
    await desk.type(models.benign)
    await desk.button("Predict").press("Enter")
    await expect(desk.prediction).to_be_visible()
    await expect(desk.button("Predict")).to_be_focused()
    await desk.field("mean_radius").fill("12")
    await desk.button("Ask again").press("Enter")  # which goes with the answer
    await expect(desk.page.locator(".told")).to_have_count(2)
    await expect(desk.page.locator("#answer-card")).to_be_focused()
    await desk.field("mean_radius").press("ArrowUp")
    await desk.button("Undo").press("Enter")
    await expect(desk.button("Undo")).to_be_disabled()
    await expect(desk.button("Predict")).to_be_focused()
    await desk.drop("ward.csv", models.csv(3))
    await desk.table.get_by_label("Filter").press("m")
    await site.promote(8, models.forest)
    await expect(desk.table).to_contain_text("version 8")
    await expect(desk.table.get_by_label("Filter")).to_be_focused()
    await desk.page.get_by_label("Compare answer 1").press("Space")
    await site.promote(9, models.logistic)
    await expect(desk.page.get_by_label("Compare answer 4")).to_be_visible()
    await expect(desk.page.get_by_label("Compare answer 1")).to_be_focused()
    await desk.button("Paste rows").press("Enter")
    await desk.page.keyboard.insert_text(models.csv(2).replace("mean_area", "size"))
    await desk.button("Use these rows").press("Enter")
    await expect(desk.page.get_by_role("combobox", name="Mean area")).to_be_focused()
    await desk.page.locator("#assign").get_by_role("button", name="Cancel").press("Enter")
    await expect(desk.page.get_by_label("Open a CSV file")).to_be_focused()
    row = desk.table.get_by_role("button", name="Open row").first
    await row.focus()
    await site.promote(9, models.logistic)
    await expect(desk.table).to_contain_text("version 9")
    await expect(row).to_be_focused()
    await row.press("Enter")
    await expect(desk.page.locator("#answer-card")).to_be_focused()
    await desk.table.get_by_role("button", name="Close").press("Enter")
    await expect(desk.page.get_by_label("Open a CSV file")).to_be_focused()


async def test_what_happens_is_said_to_a_screen_reader(desk):
    """News politely, in a status; the answer in a live region; faults with their fields."""
    for place in (desk.news, desk.page.locator("#progress")):
        await expect(place).to_have_attribute("role", "status")
    for place in (desk.notices, desk.page.locator("#answer")):
        await expect(place).to_have_attribute("aria-live", "polite")
    described = await desk.field("mean_area").get_attribute("aria-describedby")
    for each in described.split():
        await expect(desk.page.locator(f"#{each}")).to_be_attached()


async def test_motion_is_reduced_if_the_system_asks_for_it(site, visit):
    """No transition and no animation runs."""
    page = (await visit(site.url, reduced_motion="reduce")).page
    await expect(page.locator("body")).to_have_attribute("data-state", "ready")
    await page.locator("#model-version").evaluate("badge => badge.classList.add('changed')")
    running = "document.getAnimations().filter(each => each.effect.getTiming().duration > 1).length"
    assert await page.evaluate(running) == 0


async def test_on_a_phone_nothing_is_cut_off_and_fingers_hit(site, visit, models):
    """No scrolling sideways; what is touched is at least 24 pixels high and wide."""
    page = (await visit(site.url, **PHONE)).page
    await expect(page.locator("body")).to_have_attribute("data-state", "ready")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(wide) <= 0
    small = """[...document.querySelectorAll("button, input, select, a")]
      .filter(each => each.checkVisibility() && !each.matches(".skip, [type=file]"))
      .map(each => [each.textContent || each.name, each.getBoundingClientRect()])
      .filter(([, { width, height }]) => width < 24 || height < 24).map(([name]) => name)"""
    assert await page.evaluate(small) == []
