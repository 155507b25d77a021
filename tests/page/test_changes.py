"""What changes while the page is open: versions, the registry, the service itself. Never a reload."""

import re
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from playwright.async_api import expect

from approvals.standing import Standing
from predictor.events import ApprovalsChanged
from predictor.model_version import ModelVersion
from tests.page.desk import Desk
from tests.page.site import NAME
from tests.predictor.graphs import classifier

pytestmark = pytest.mark.whole

# Gone with the document, so that a reload shows.
STAYS = "document.stays = true"


@pytest_asyncio.fixture(loop_scope="session")
async def stays(desk):
    """The page has not been loaded again at the end of the test."""
    await desk.page.evaluate(STAYS)
    yield
    assert await desk.page.evaluate("document.stays") is True


async def test_a_promotion_is_announced_and_the_answer_asked_for_again(site, desk, models, stays):
    await desk.ask(models.record(number=2))
    await site.promote(8, models.forest)
    await expect(desk.news).to_contain_text("Version 8")
    await expect(desk.page.locator("#model-version")).to_contain_text("8")
    said = re.compile(r"Version 7 said [<>\d. %\s]+malignant, version 8 says [<>\d. %\s]+malignant")
    await expect(desk.answer).to_contain_text(said)
    await expect(desk.answer.locator(".axis-ghost")).to_be_attached()
    await expect(desk.answer).to_contain_text("Computed by version 8")
    await expect(desk.answer).not_to_contain_text("This answer is from version 7")


async def test_an_answer_that_the_next_version_cannot_give_stays_and_is_marked(site, desk, models):
    """Its record has other features."""
    await desk.ask(models.record(number=2))
    await site.promote(9, classifier())
    await expect(desk.answer).to_contain_text(
        "This answer is from version 7. Version 9 serves now."
    )
    await expect(desk.prediction).to_have_text("malignant")


async def test_a_rollback_is_announced_as_one(site, desk, models, stays):
    await site.promote(8, models.forest)
    await expect(desk.news).to_contain_text("Version 8")
    await site.promote(7, models.logistic)
    await expect(desk.news).to_contain_text(re.compile("Version 7.*(rollback|rolled back)"))
    await expect(desk.page.locator("#model-version")).to_contain_text("7")


async def test_a_table_is_asked_for_again_and_says_how_many_rows_changed_sides(
    site, desk, models, stays
):
    rows = [models.record(number=number) for number in range(3)]
    text = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])
    await desk.drop("ward.csv", text)
    await expect(desk.table).to_contain_text("version 7")
    await site.promote(8, models.forest)
    await expect(desk.table).to_contain_text("3 rows, version 8")
    await expect(desk.table).to_contain_text("0 of 3 rows changed sides since version 7.")
    await site.promote(9, classifier())
    await expect(desk.table).to_contain_text("These answers are from version 8.")


async def test_rows_that_changed_sides_are_counted_and_say_what_was_before(
    site, desk, models, stays
):
    """Of all held-out rows, by what the service says of each before and after."""
    rows = [dict(row) for _, row in models.rows.iterrows()]

    async def sides():
        answer = await site.live.client.post("/predict/batch", json={"instances": rows})
        return [each["operating_point"]["above"] for each in answer.json()["predictions"]]

    before = await sides()
    await desk.drop("all.csv", models.csv(len(rows)))
    await expect(desk.table).to_contain_text(f"{len(rows)} rows, version 7")
    await site.promote(8, models.forest)
    await expect(desk.table).to_contain_text(f"{len(rows)} rows, version 8")
    changed = sum(was != now for was, now in zip(before, await sides(), strict=True))
    assert changed > 0
    await expect(desk.table).to_contain_text(
        f"{changed} of {len(rows)} rows changed sides since version 7."
    )
    # The prediction may be the same on both sides of a threshold: what changed is the probability.
    said = await desk.table.locator(".was").all_inner_texts()
    assert said
    assert all(re.fullmatch(r"Version 7: [<>]? ?[\d.]+\s% malignant\. ?", each) for each in said)


async def test_a_version_that_waits_for_approvals_is_named(site, desk, stays):
    """Who has approved it so far, and what serves meanwhile; until there are enough."""
    eight = ModelVersion(NAME, "8", "source", 8)
    waits = ApprovalsChanged((eight, Standing(2, ("alice",), ("bob: withdrawn",))), None, 2)
    site.live.journal.observe(waits)
    await expect(desk.notices).to_contain_text(
        "Version 8 waits for approvals: 1 of 2 (alice); bob: withdrawn. Version 7 keeps serving."
    )
    enough = ApprovalsChanged((eight, Standing(2, ("alice", "carol"))), None, 2)
    site.live.journal.observe(enough)
    await expect(desk.notices).not_to_contain_text("approvals")


async def test_no_version_may_serve_and_then_one_may(site, desk, models, stays):
    """Said why; what was typed is there when one serves again."""
    await desk.type(models.benign)
    await site.demote()
    await desk.is_in_state("none")
    await expect(desk.notices).to_contain_text("nothing is in Production")
    await expect(desk.button("Predict")).to_be_disabled()
    await site.promote(8, models.forest)
    await desk.is_in_state("ready")
    await desk.predict()
    await expect(desk.prediction).to_have_text("benign")


async def test_the_same_version_comes_back_with_the_date_of_its_new_promotion(
    site, desk, models, stays
):
    """Also where the tag comes after the move: then at the next that is heard."""
    dates = desk.page.locator("#model-dates")
    await expect(dates).not_to_contain_text("2021")
    await site.demote()
    await desk.is_in_state("none")
    await expect(dates).to_be_empty()
    await site.promote(7, models.logistic, when=datetime(2021, 3, 15, 12, tzinfo=UTC))
    await expect(dates).to_contain_text("promoted 15 Mar 2021")
    await site.promote(7, models.logistic, when=datetime(2022, 4, 16, 12, tzinfo=UTC))
    await site.registry(down=True)
    await expect(dates).to_contain_text("promoted 16 Apr 2022")


async def test_opened_while_none_serves_the_form_comes_with_the_first(site, visit, models):
    await site.demote()
    desk = Desk(await visit(site.url))
    await desk.is_in_state("none")
    await expect(
        desk.page.get_by_text("The values appear here as soon as a version")
    ).to_be_visible()
    await site.promote(7, models.logistic)
    await desk.is_in_state("ready")
    await expect(desk.field("mean_radius")).to_be_visible()


async def test_the_service_goes_away_and_comes_back(site, desk, models, stays):
    """Typed values are kept, and the first question after it is answered."""
    await desk.type(models.benign)
    await site.stop()
    await desk.is_in_state("offline")
    await expect(desk.notices).to_contain_text("does not answer")
    await expect(desk.button("Predict")).to_be_disabled()
    await site.start()
    await desk.is_in_state("ready")
    await expect(desk.notices).to_be_empty()
    await desk.predict()
    await expect(desk.prediction).to_have_text("benign")


async def test_another_version_is_there_when_the_service_comes_back(site, desk, models, stays):
    await desk.ask(models.record(number=2))
    await site.stop()
    await desk.is_in_state("offline")
    await site.promote(8, models.forest)
    await site.start()
    await expect(desk.news).to_contain_text("Version 8")
    await expect(desk.answer).to_contain_text("Version 7 said")


async def test_the_registry_is_away_and_a_version_cannot_be_loaded(site, desk, models, stays):
    """Neither stops anybody: version 7 goes on, and the page says what is wrong."""
    await site.registry(down=True)
    await expect(desk.notices).to_have_text(
        "New versions cannot be looked up now; operators see why at /ops. Version 7 keeps serving."
    )
    await desk.ask(models.benign)
    await site.registry(down=False)
    await expect(desk.notices).to_be_empty()
    await site.promote(8, b"no model")
    await expect(desk.notices).to_contain_text("Version 8 could not be")
    await desk.ask(models.record(number=2))
    await expect(desk.answer).to_contain_text("version 7")
