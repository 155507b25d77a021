"""Whose answer it is: a reference that is typed, or a column of a list; and that it is in no request."""

import asyncio
import csv
import io
import json

import pytest
from playwright.async_api import expect

from tests.page.node import Modules

pytestmark = pytest.mark.whole

WHO = "P-4711"


@pytest.fixture
async def sent(desk):
    """All that the page sends, with its addresses and headers."""
    found = []
    desk.page.on(
        "request", lambda each: found.append(f"{each.url} {each.headers} {each.post_data}")
    )
    return found


async def test_a_typed_reference_stands_in_the_answer_and_is_not_sent(desk, models, sent):
    """The next one, which is typed before its values, is not that of this answer."""
    reference, subject = desk.page.get_by_label("Reference"), desk.answer.locator("#subject")
    await reference.fill(WHO)
    await desk.ask(models.benign)
    await expect(subject).to_have_text(f"Reference: {WHO}")
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    await reference.fill("P-4712")
    await expect(subject).to_have_text(f"Reference: {WHO}")
    await desk.predict()
    await expect(subject).to_have_text("Reference: P-4712")
    await desk.field("mean_area").fill("600")
    await reference.fill("P-5000")
    await expect(subject).to_have_text("Reference: P-4712")
    await desk.button("Example: benign").click()
    assert [each for each in sent if "/predict" in each]
    assert not [each for each in sent if "P-4" in each or "P-5" in each]


async def test_a_reference_may_be_typed_after_the_answer(desk, models):
    reference, subject = desk.page.get_by_label("Reference"), desk.answer.locator("#subject")
    await desk.ask(models.benign)
    await reference.press_sequentially(WHO)
    await expect(subject).to_have_text(f"Reference: {WHO}")
    await desk.field("mean_area").fill("600")
    await reference.fill("P-5000")
    await expect(subject).to_have_text(f"Reference: {WHO}")


async def test_an_answer_that_is_asked_again_after_a_swap_keeps_its_reference(site, desk, models):
    await desk.page.get_by_label("Reference").fill(WHO)
    await desk.ask(models.benign)
    await desk.field("mean_area").fill("600")
    await desk.page.get_by_label("Reference").fill("other")
    await site.promote(8, models.forest)
    await expect(desk.answer).to_contain_text("version 8")
    await expect(desk.answer.locator("#subject")).to_have_text(f"Reference: {WHO}")


async def test_a_row_of_a_list_brings_its_reference_and_is_marked(desk, models, sent):
    """Until other values are in the form; then its reference is gone, too."""
    await desk.drop("ward.csv", models.csv(5))
    await desk.button("Open row 3").click()
    await expect(desk.answer.locator("#subject")).to_have_text("Reference: P-003")
    marked = desk.table.locator("[aria-current=true]")
    await expect(marked).to_have_count(1)
    await expect(marked).to_contain_text("P-003")
    await expect(desk.page.get_by_label("Reference")).to_have_value("P-003")
    await desk.table.get_by_role("button", name="patient").click()
    await desk.table.get_by_role("button", name="patient").click()
    await expect(marked).to_contain_text("P-003")
    await desk.button("Example: benign").click()
    await expect(marked).to_have_count(0)
    await expect(desk.page.get_by_label("Reference")).to_have_value("")
    found = csv.DictReader(io.StringIO(await desk.download()))
    assert sorted(row["patient"] for row in found) == [f"P-00{number}" for number in range(1, 6)]
    assert not [each for each in sent if "P-0" in each]


async def test_clear_forgets_the_reference(desk, models):
    await desk.page.get_by_label("Reference").fill(WHO)
    await desk.ask(models.benign)
    await desk.button("Clear").click()
    await expect(desk.page.get_by_label("Reference")).to_have_value("")
    await expect(desk.answer.locator("#subject")).to_be_empty()


async def test_undo_brings_the_reference_back_with_the_values(desk, models):
    """Else they would be answered under the reference of the row that overwrote them."""
    reference = desk.page.get_by_label("Reference")
    await reference.fill(WHO)
    await desk.ask(models.benign)
    before = await desk.typed(models.benign)
    await desk.drop("ward.csv", models.csv(5))
    await desk.button("Open row 3").click()
    await expect(desk.answer.locator("#subject")).to_have_text("Reference: P-003")
    await desk.button("Undo").click()
    await expect(reference).to_have_value(WHO)
    assert await desk.typed(models.benign) == before
    # The answer is that of row 3: it is not moved to the values of somebody else.
    await expect(desk.answer).to_contain_text("The values have changed since this answer.")
    await expect(desk.answer.locator(".mark")).to_have_count(0)
    await desk.button("Clear").click()
    await desk.button("Undo").click()
    await expect(reference).to_have_value(WHO)


@pytest.fixture
async def slow(desk):
    """Predictions are answered when this is called."""
    answered = asyncio.Event()

    async def wait(route):
        await answered.wait()
        await route.continue_()

    async def use():
        await desk.page.route("**/predict", wait)

    use.answer = answered.set
    return use


async def test_an_answer_that_takes_long_has_the_reference_that_it_was_asked_for(
    desk, models, slow
):
    """Not that of the answer before, if the values are others by then."""
    reference = desk.page.get_by_label("Reference")
    await reference.fill("earlier")
    await desk.ask(models.record())
    await desk.button("Example: benign").click()
    await reference.fill(WHO)
    await slow()
    await desk.page.locator("#predict").click()
    await desk.field("mean_area").fill("600")
    await reference.fill("next")
    slow.answer()
    await expect(desk.page.locator(".told")).to_have_count(2)
    await expect(desk.answer.locator("#subject")).to_have_text(f"Reference: {WHO}")


async def test_a_row_is_asked_for_though_another_one_has_no_answer_yet(desk, models, slow):
    await desk.drop("ward.csv", models.csv(5))
    await desk.button("Open row 1").click()
    await expect(desk.answer.locator("#subject")).to_have_text("Reference: P-001")
    await slow()
    await desk.button("Open row 2").click()
    await desk.button("Open row 3").click()
    slow.answer()
    await expect(desk.answer.locator("#subject")).to_have_text("Reference: P-003")
    await expect(desk.page.locator("#progress")).to_be_empty()
    await expect(desk.page.locator("#fields")).to_have_attribute("aria-busy", "false")


def test_the_column_that_identifies_is_found_by_name_or_by_its_texts(tmp_path):
    rows = [["x", "1", "a"], ["x", "2", "b"]]
    columns = {("ward", "Patient ID", "note"): 1, ("ward", "n", "note"): 1, ("ward", "day", "case_id"): 2, ("ward", "day", "PatientID"): 2, ("ward", "day", "Fallnummer"): 2, (): -1, ("ward",): -1}  # fmt: skip
    calls = [f"m.identifierIn({json.dumps({'names': names, 'rows': rows})})" for names in columns]
    assert Modules(tmp_path).compute("reference.js", *calls) == list(columns.values())
    one = {"names": ["diagnosis"], "rows": [["M"]]}  # of one row, all texts are different
    assert Modules(tmp_path).compute("reference.js", f"m.identifierIn({json.dumps(one)})") == [-1]
