"""A session: answers kept and compared, values moved to see what if, what was overwritten, and leaving."""

import asyncio
import json
import re

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.visitor import PHONE

pytestmark = pytest.mark.whole


async def test_answers_are_kept_and_up_to_four_compared(desk, models):
    """Side by side with the values that differ; a fifth cannot be chosen."""
    history = desk.page.get_by_role("region", name="This session")
    await expect(history).to_be_hidden()
    record = dict(models.benign)
    await desk.page.get_by_label("Reference").fill("P-1")
    for step in range(5):
        await desk.ask({**record, "mean_radius": 12 + step})
        await expect(history.locator("li")).to_have_count(step + 1)
    for number in (1, 2, 3, 5):
        await history.get_by_label(f"Compare answer {number}").check()
    await expect(history.get_by_label("Compare answer 4")).to_be_disabled()
    table = history.get_by_role("table")
    await expect(table.locator("thead th")).to_have_text([f"Answer {n}" for n in (1, 2, 3, 5)])
    whose = table.locator("tbody tr", has_text="Reference")
    await expect(whose.locator("td")).to_have_text(["P-1"] * 4)
    row = table.locator("tbody tr", has_text="Mean radius")
    await expect(row.locator("td")).to_have_text(["12", "13", "14", "16"])
    await expect(history).to_contain_text("29 values are equal.")
    await history.get_by_label("Compare answer 2").uncheck()
    await expect(history.get_by_label("Compare answer 2")).to_be_focused()
    await expect(history.get_by_label("Compare answer 4")).to_be_enabled()


async def test_an_answer_of_before_is_opened_and_what_it_overwrote_had_back(desk, models):
    await desk.ask(models.record(number=3))
    await desk.ask(models.benign)
    await desk.button("Open the values of answer 1").click()
    await expect(desk.prediction).to_have_text("malignant")
    await desk.button("Undo").click()
    await expect(desk.prediction).to_have_text("benign")
    assert [float(each) for each in await desk.typed(models.benign)] == list(models.benign.values())


async def test_whatever_overwrites_values_can_be_undone(desk, models):
    """An example, a pasted row, Clear, an opened row of a list; the last of them first."""
    undo = desk.button("Undo")
    await expect(undo).to_be_disabled()
    await desk.field("mean_radius").fill("11.5")
    await desk.button("Example: benign").click()
    await desk.paste("\t".join(map(str, models.benign.values())), "mean_radius")
    await desk.button("Clear").click()
    await expect(desk.field("mean_radius")).to_have_value("")
    await undo.click()
    await expect(desk.field("mean_radius")).to_have_value(str(models.benign["mean_radius"]))
    for _ in range(2):
        await undo.click()
    await expect(desk.field("mean_radius")).to_have_value("11.5")
    await expect(undo).to_be_disabled()


async def test_the_arrow_keys_move_the_answer_and_a_ghost_stays(site, desk, models):
    """By the service's own numbers; Undo brings the values and the answer back."""
    record = models.record(number=41)
    await desk.ask(record)
    before = await desk.answer.locator(".probability").inner_text()
    field = desk.field("worst_texture")
    await field.focus()
    for _ in range(30):
        await desk.page.keyboard.press("ArrowDown")
    moved = float(await field.input_value())
    assert moved < record["worst_texture"]
    asked = {**record, "worst_texture": moved}
    told = (await site.live.client.post("/predict", json=asked)).json()
    chance = f"{100 * told['probabilities']['malignant']:.1f}"
    await expect(desk.answer.locator(".probability")).to_contain_text(chance)
    await expect(desk.answer).to_contain_text(re.compile(rf"What if: {chance}.* instead of "))
    await expect(desk.answer.locator(".axis-ghost")).to_be_attached()
    await expect(desk.answer).not_to_contain_text("changed since")
    await expect(desk.page.locator(".gauge[data-moved]")).to_have_count(1)
    await expect(desk.page.locator("#progress")).to_contain_text(chance)
    await desk.button("Undo").click()
    await expect(desk.answer.locator(".probability")).to_have_text(before)
    await expect(desk.answer.locator(".axis-ghost")).to_have_count(0)


async def test_after_a_swap_the_moved_values_are_asked_for_again(site, desk, models):
    """And compared with what the version before said of the same values."""
    record = models.record(number=41)
    await desk.ask(record)
    for _ in range(20):
        await desk.field("worst_texture").press("ArrowDown")
    moved = {**record, "worst_texture": float(await desk.field("worst_texture").input_value())}
    told = (await site.live.client.post("/predict", json=moved)).json()
    chance = f"{100 * told['probabilities']['malignant']:.1f}"
    await expect(desk.page.locator("#progress")).to_contain_text(chance)
    await site.promote(8, models.forest)
    said = re.compile(rf"Version 7 said {chance}\s% malignant, version 8 says ")
    await expect(desk.answer).to_contain_text(said)
    await expect(desk.answer).not_to_contain_text("changed since")


async def test_a_slider_moves_the_answer_where_there_are_no_arrow_keys(site, visit, models):
    """It is below the field that has the focus."""
    desk = Desk(await visit(site.url, **PHONE))
    await desk.is_in_state("ready")
    await desk.field("worst_area").focus()
    await expect(desk.page.locator(".what-if")).to_have_count(0)
    await desk.ask(models.benign)
    await desk.field("worst_area").focus()
    slider = desk.page.get_by_label("What if: Worst area")
    await slider.fill("2000")
    await expect(desk.field("worst_area")).to_have_value("2000")
    await expect(desk.answer).to_contain_text("What if: ")


async def test_the_slider_stands_where_the_value_is(desk, models):
    """Also if the value was typed, or came from an example; an empty field has no slider."""
    await desk.ask(models.benign)
    field, slider = desk.field("worst_area"), desk.page.get_by_label("What if: Worst area")
    await field.focus()
    await slider.fill("2000")
    await field.fill("1500")
    await expect(slider).to_have_value("1500")
    await desk.button("Example: benign").click()
    await expect(field).not_to_have_value("1500")
    await expect(slider).to_have_value(await field.input_value())
    await field.fill("")
    await expect(slider).to_have_count(0)


async def test_turning_points_are_where_the_service_changes_its_answer(site, desk, models):
    """A curve beside each field; just inside the point the answer is still the same, just beyond no longer."""
    record = models.record(number=41)
    await desk.ask(record)
    await desk.button("Turning points").click()
    await expect(desk.page.locator(".curve")).to_have_count(30)
    row = desk.page.locator(".row", has=desk.field("worst_texture"))
    text = await row.locator(".turn").inner_text()
    found = re.search(r"Stays above the threshold down to ([\d.]+)", text)
    assert found, text
    point = float(found[1])
    sides = []
    for value in (point * 1.02, point * 0.98):
        asked = {**record, "worst_texture": value}
        told = (await site.live.client.post("/predict", json=asked)).json()
        sides.append(told["operating_point"]["above"])
    assert sides == [True, False]
    await desk.field("mean_radius").fill("10")
    await expect(desk.page.locator(".curve")).to_have_count(0)
    await expect(desk.button("Turning points")).to_have_attribute("aria-pressed", "false")


async def test_leaving_is_asked_about_only_where_something_would_be_lost(site, visit, models):
    """Not with an empty form; with a list, values or answers the browser asks."""
    visitor = await visit(site.url)
    desk = Desk(visitor)
    await desk.is_in_state("ready")
    await desk.page.reload()
    await desk.is_in_state("ready")
    assert visitor.witness.complaints == []
    await desk.drop("ward.csv", models.csv(2))
    await expect(desk.table.locator("tbody tr")).to_have_count(2)
    await desk.table.get_by_label("Filter").click()  # browsers ask only after the page was used
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(desk.page.reload(), 3)
    assert visitor.witness.complaints == ["a dialog: "]
    visitor.witness.complaints.clear()
    await desk.table.get_by_role("button", name="Close").click()
    await desk.ask(models.benign)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(desk.page.reload(), 3)
    assert visitor.witness.complaints == ["a dialog: "]
    visitor.witness.complaints.clear()
    await expect(desk.prediction).to_have_text("benign")


async def test_a_record_that_is_asked_for_right_after_a_move_is_the_one_of_the_report(desk, models):
    """A moved answer is explained a moment later; by then, another record may have been asked for."""
    await desk.ask(models.benign)
    await desk.field("mean_radius").press("ArrowUp")
    await desk.type(models.record(number=2))
    await desk.page.locator("#predict").click()
    await expect(desk.prediction).to_have_text("malignant")
    await expect(desk.page.get_by_label("Compare answer 2")).to_be_visible()
    await desk.page.wait_for_timeout(600)
    async with desk.page.expect_download() as download:
        await desk.button("Save as JSON").click()
    found = json.loads((await (await download.value).path()).read_text())
    assert found["record"] == models.record(number=2)
    assert found["answer"]["prediction"] == "malignant"
