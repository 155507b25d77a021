"""Whose answer it is: a reference that is typed, or a column of a list; and that it is in no request."""

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
    await desk.page.get_by_label("Reference").fill(WHO)
    await desk.ask(models.benign)
    subject = desk.answer.locator("#subject")
    await expect(subject).to_have_text(f"Reference: {WHO}")
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    await desk.page.get_by_label("Reference").fill("P-4712")
    await expect(subject).to_have_text("Reference: P-4712")
    await desk.field("mean_area").fill("600")
    await desk.page.get_by_label("Reference").fill("P-5000")  # of the next record
    await expect(subject).to_have_text("Reference: P-4712")
    await desk.button("Example: benign").click()
    assert [each for each in sent if "/predict" in each]
    assert not [each for each in sent if "P-4" in each or "P-5" in each]


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


def test_the_column_that_identifies_is_found_by_name_or_by_its_texts(tmp_path):
    rows = [["x", "1", "a"], ["x", "2", "b"]]
    columns = {("ward", "Patient ID", "note"): 1, ("ward", "n", "note"): 1, ("ward", "day", "case_id"): 2, (): -1, ("ward",): -1}  # fmt: skip
    calls = [f"m.identifierIn({json.dumps({'names': names, 'rows': rows})})" for names in columns]
    assert Modules(tmp_path).compute("reference.js", *calls) == list(columns.values())
