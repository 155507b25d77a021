"""The main states of the page, one after the other, brought about as a user does."""

from collections.abc import AsyncIterator

from playwright.async_api import expect

from approvals.standing import Standing
from predictor.events import ApprovalsChanged
from predictor.model_version import ModelVersion
from tests.page.desk import Desk
from tests.page.models import Models
from tests.page.site import NAME, Site


async def states(site: Site, desk: Desk, models: Models) -> AsyncIterator[str]:
    """The name of each state, while the page shows it."""
    await desk.is_in_state("ready")
    yield "form"
    # Not a sure one, and one measurement that training never saw.
    await desk.ask({**models.record(number=41), "texture_error": 5.1})
    await expect(desk.page.locator(".working")).to_have_count(0)
    yield "answer"
    await desk.ask({**models.record(number=41), "texture_error": 5.1, "worst_texture": 28})
    for _ in range(6):
        await desk.field("worst_texture").press("ArrowUp")
    await expect(desk.answer).to_contain_text("What if: ")
    await desk.button("Turning points").click()
    await expect(desk.page.locator(".curve").first).to_be_visible()
    for number in (1, 2):
        await desk.page.get_by_label(f"Compare answer {number}").check()
    yield "moved"
    async for state in _details(desk):
        yield state
    await desk.ask({**models.record(number=41), "texture_error": 5.1})
    await expect(desk.page.locator(".working")).to_have_count(0)
    await site.promote(8, models.forest)
    await expect(desk.news).to_contain_text("Version 8")
    await expect(desk.answer).to_contain_text("Version 7 said")
    await expect(desk.page.locator(".working")).to_have_count(0)
    yield "swapped"
    await desk.type({"mean_area": "", "worst_area": "large"})
    await desk.predict()
    await expect(desk.field("mean_area")).to_have_attribute("aria-invalid", "true")
    yield "refused"
    await desk.ask(models.benign)
    await expect(
        desk.page.locator(".driver-list")
    ).to_be_visible()  # it scrolls to the answer, and then to the list
    await desk.drop("ward.csv", models.csv(12))
    await expect(desk.table.locator("tbody tr")).to_have_count(12)
    yield "table"
    await desk.table.get_by_role("button", name="Close").click()
    await desk.drop("other.csv", models.csv(3).replace("mean_area", "size"))
    await expect(desk.page.locator("#assign")).to_be_visible()
    yield "assign"
    await desk.page.locator("#assign").get_by_role("button", name="Cancel").click()
    await desk.button("Clear").click()
    nine = ModelVersion(NAME, "9", "source", 9)
    waits = Standing(2, ("alice",), ("bob: withdrawn at 2026-11-29 08:15 UTC",))
    site.live.journal.observe(ApprovalsChanged((nine, waits), None, 2))
    await expect(desk.notices).to_contain_text("Version 9 waits for approvals")
    yield "waits"
    site.live.journal.observe(ApprovalsChanged((nine, Standing(2, ("alice", "bob"))), None, 2))
    await expect(desk.notices).not_to_contain_text("approvals")
    await site.demote()
    await desk.is_in_state("none")
    yield "none"
    await site.stop()
    await desk.is_in_state("offline")
    yield "offline"
    await site.start()


async def _details(desk: Desk) -> AsyncIterator[str]:
    """What the page has beside an answer: code, the model's card, four answers compared, and its report."""
    await desk.page.get_by_text("Use from code").click()
    await desk.page.get_by_text("What is this model?").click()
    await expect(desk.page.locator("#code pre")).to_have_count(3)
    await expect(desk.page.locator("#model-card tbody tr").first).to_be_visible()
    for number in (3, 4):
        await desk.ask({"mean_radius": 12 + number})
        await desk.page.get_by_label(f"Compare answer {number}").check()
    await expect(desk.page.locator(".working")).to_have_count(0)
    yield "details"
    await desk.page.emulate_media(media="print")
    await desk.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await expect(desk.page.locator("#paper")).to_be_visible()
    yield "report"
    await desk.page.evaluate("dispatchEvent(new Event('afterprint'))")
    await desk.page.emulate_media(media="screen")
    for summary in ("Use from code", "What is this model?"):
        await desk.page.get_by_text(summary).click()
