"""The main states of the page, one after the other, as whoever sits before it brings them about."""

from collections.abc import AsyncIterator

from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.models import Models
from tests.page.site import Site


async def states(site: Site, desk: Desk, models: Models) -> AsyncIterator[str]:
    """The name of each state, while the page shows it."""
    await desk.is_in_state("ready")
    yield "form"
    # Not a sure one, and one measurement that training never saw.
    await desk.type({**models.record(number=41), "texture_error": 5.1})
    await desk.predict()
    await expect(desk.prediction).to_be_visible()
    await expect(desk.page.locator(".working")).to_have_count(0)
    yield "answer"
    await site.promote(8, models.forest)
    await expect(desk.news).to_contain_text("Version 8")
    yield "swapped"
    await desk.type({"mean_area": "", "worst_area": "large"})
    await desk.predict()
    await expect(desk.field("mean_area")).to_have_attribute("aria-invalid", "true")
    yield "refused"
    await desk.ask(models.benign)
    await desk.drop("ward.csv", models.csv(12))
    await expect(desk.table.locator("tbody tr")).to_have_count(12)
    yield "table"
    await desk.table.get_by_role("button", name="Close").click()
    await desk.button("Clear").click()
    await site.demote()
    await desk.is_in_state("none")
    yield "none"
    await site.stop()
    await desk.is_in_state("offline")
    yield "offline"
    await site.start()
