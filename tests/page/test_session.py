"""A session: answers kept and compared, values moved to see what if, what was overwritten, and leaving."""

import asyncio
import json
import re

import numpy as np
import pandas as pd
import pytest
from playwright.async_api import expect
from sklearn.linear_model import LinearRegression, LogisticRegression

from exporters.export import export
from tests.page.desk import Desk
from tests.page.test_report import copied
from tests.page.visitor import PHONE
from tests.predictor.parts import until

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
    """The answer stays that of the opened values until it is asked for again: they may be somebody else's."""
    await desk.ask(models.record(number=3))
    await desk.ask(models.benign)
    await desk.button("Open the values of answer 1").click()
    await expect(desk.prediction).to_have_text("malignant")
    await desk.button("Undo").click()
    await expect(desk.answer).to_contain_text("The values have changed since this answer.")
    await expect(desk.answer.locator(".mark")).to_have_count(0)
    await desk.button("Ask again").click()
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


def predictions(site):
    """How many the metrics count."""
    samples = site.live.samples()
    return sum(count for key, count in samples.items() if key[0] == "predictor_predictions_total")


async def test_what_is_tried_out_is_no_prediction_and_looks_like_none(site, desk, models):
    """On the page, as text and in the file; Predict makes it one, and moving back shows the one that was."""
    record = models.record(number=41)
    await desk.ask(record)
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    counted, before = predictions(site), await desk.answer.locator(".probability").inner_text()
    field, mark = desk.field("worst_texture"), desk.answer.locator(".mark")
    async with desk.page.expect_response("**/predict/explain?what_if=true"):
        await field.press("PageDown")
    moved = await field.input_value()
    await expect(mark).to_contain_text(
        f"Tried out: Worst texture {moved} instead of {record['worst_texture']}. "
    )
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    text = await copied(desk, desk.button("Copy as text"))
    assert text.startswith("Tried out, no prediction: ")
    assert f"Changed: Worst texture {moved} instead of {record['worst_texture']}\n" in text
    async with desk.page.expect_download() as download:
        await desk.button("Save as JSON").click()
    file = await download.value
    saved = json.loads((await file.path()).read_text())
    assert file.suggested_filename.endswith("-what-if.json")
    assert (saved["hypothetical"], saved["instead_of"]) == (
        True,
        {"worst_texture": record["worst_texture"]},
    )
    assert saved["record"]["worst_texture"] == float(moved)
    await desk.button("Turning points").click()
    await expect(desk.page.locator(".curve").first).to_be_visible()
    await expect(desk.page.locator(".told")).to_have_count(1)
    await field.press("PageUp")
    await expect(mark).to_have_count(0)
    await expect(desk.answer.locator(".probability")).to_have_text(before)
    await expect(field).to_have_value(str(record["worst_texture"]))
    assert predictions(site) == counted
    await field.press("ArrowDown")
    await expect(mark).to_be_visible()
    await desk.predict()
    await expect(mark).to_have_count(0)
    await expect(desk.page.locator(".told")).to_have_count(2)
    await until(lambda: predictions(site) > counted)


async def test_a_value_outside_the_training_data_moves_by_a_step_as_any(desk, models):
    """It does not jump to the end of the range, and the note stays."""
    await desk.ask({**models.record(number=41), "worst_texture": 90})
    field = desk.field("worst_texture")
    await field.press("ArrowDown")
    await expect(field).to_have_value("89.5")
    await expect(desk.page.locator(".row", has=field)).to_contain_text("Outside the training data")
    await expect(desk.page.get_by_label("What if: Worst texture")).to_have_attribute(
        "aria-valuetext", "89.5"
    )


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
    await expect(desk.answer.locator(".mark")).to_contain_text("Worst texture")
    await desk.button("Undo").click()
    of_it = (await site.live.client.post("/predict", json=record)).json()["probabilities"][
        "malignant"
    ]
    await expect(desk.answer.locator(".probability")).to_contain_text(f"{100 * of_it:.1f}")
    await expect(desk.answer.locator(".mark")).to_have_count(0)


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
    await expect(desk.page.locator(".turn .curve")).to_have_count(30)
    row = desk.page.locator(".row", has=desk.field("worst_texture"))
    text = await row.locator(".turn").inner_text()
    found = re.search(r"Stays above the threshold down to ([\d.]+)", text)
    assert found, text
    point = float(found[1])
    sides = []
    for value in (point * 1.001, point * 0.999):
        asked = {**record, "worst_texture": value}
        told = (await site.live.client.post("/predict", json=asked)).json()
        sides.append(told["operating_point"]["above"])
    assert sides == [True, False]
    summary = desk.page.locator("#turning")
    count = await desk.page.locator(".turn > span:not(.curve, .unseen)").count()
    await expect(summary).to_contain_text(
        f"{count} of 30 values can alone take this answer to the other side"
    )
    await expect(summary).to_contain_text(re.compile(rf"Worst texture below {found[1]}\b"))
    for said in (
        "0 to 100 % malignant",
        "dashed line: threshold",
        "mark: the value now",
        "training data",
    ):
        await expect(summary).to_contain_text(said)
    await expect(desk.field("worst_texture")).to_have_accessible_description(
        re.compile(re.escape(found[0]))
    )
    await desk.field("mean_radius").fill("10")
    await expect(desk.page.locator(".curve")).to_have_count(0)
    await expect(summary).to_be_hidden()
    await expect(desk.button("Turning points")).to_have_attribute("aria-pressed", "false")


async def test_every_turning_point_of_a_model_with_steps_is_one(site, visit, models):
    """A forest's answer does not change in a straight line between two values of a sweep."""
    await site.promote(8, models.forest)
    desk = Desk(await visit(site.url))
    await desk.is_in_state("ready")
    record = models.record(number=41)
    await desk.ask(record)
    await desk.button("Turning points").click()
    await expect(desk.page.locator("#turning")).to_contain_text("can alone take this answer")
    found = {}
    for name in record:
        row = desk.page.locator(".row", has=desk.field(name))
        text = await row.locator(".turn").inner_text()
        for kind, point in re.findall(r"(until|down to|from|to(?<!down to)) (\d[\d.e-]*)", text):
            found[name, kind] = float(point)
    assert len(found) > 5
    cases = []
    for (name, kind), point in found.items():
        beyond = 0.001 if kind in {"until", "to"} else -0.001
        cases += [{**record, name: point * (1 - beyond)}, {**record, name: point * (1 + beyond)}]
    asked = await site.live.client.post("/predict/batch", json={"instances": [record, *cases]})
    own, *sides = (each["operating_point"]["above"] for each in asked.json()["predictions"])
    assert sides == [own, not own] * len(found)


async def test_a_clear_case_is_said_once(desk, models):
    """Not beside each of thirty fields."""
    await desk.ask(models.record(number=4))
    await desk.button("Turning points").click()
    never = "Within its training range, no single value takes this answer to the other side of the threshold."
    await expect(desk.page.locator("#turning")).to_contain_text(never)
    await expect(desk.page.locator(".curve")).to_have_count(31)  # one is the legend's
    await expect(desk.page.locator(".turn > span:not(.curve, .unseen)")).to_have_count(0)


async def test_turning_points_that_could_not_be_had_are_asked_for_again(desk, models):
    """It is said why; the button works by keyboard and leaves the focus where the turning points began."""
    await desk.ask(models.record(number=41))
    body = '{"title": "Service Unavailable", "detail": "16 large requests wait already"}'
    busy = {"status": 503, "content_type": "application/problem+json", "body": body}
    await desk.page.route("**/predict/what-if", lambda route: route.fulfill(**busy))
    await desk.button("Turning points").click()
    summary = desk.page.locator("#turning")
    await expect(summary).to_contain_text("Working out the turning points")
    await expect(summary).to_contain_text(
        "The turning points could not be worked out: 16 large requests wait already."
    )
    await desk.page.unroute("**/predict/what-if")
    desk.visitor.witness.complaints.clear()
    await summary.get_by_role("button", name="Try again").press("Enter")
    await expect(summary).to_contain_text("can alone take this answer")
    await expect(desk.button("Turning points")).to_be_focused()


async def test_turning_points_are_fetched_when_they_are_asked_for(desk, models):
    """Without a connection that is said, and the button asks again."""
    await desk.ask(models.record(number=41))
    await desk.page.route("**/curves.js", lambda route: route.abort())
    await desk.button("Turning points").click()
    said = "The turning points could not be worked out: no connection."
    await expect(desk.page.locator("#record-hint")).to_have_text(said)
    await expect(desk.button("Turning points")).to_have_attribute("aria-pressed", "false")
    await desk.page.unroute("**/curves.js")
    desk.visitor.witness.complaints.clear()
    await desk.button("Turning points").click()
    await expect(desk.page.locator("#turning")).to_contain_text("can alone take this answer")
    await expect(desk.page.locator("#record-hint")).to_have_text("")


async def test_turning_points_of_another_version_are_not_shown(desk, models):
    """It is said that Predict gives those of the version that serves."""

    async def of_version_8(route):
        response = await route.fetch()
        await route.fulfill(
            response=response, json={**(await response.json()), "model_version": "8"}
        )

    await desk.ask(models.record(number=41))
    await desk.page.route("**/predict/what-if", of_version_8)
    await desk.button("Turning points").click()
    await expect(desk.page.locator("#turning")).to_contain_text(
        "is from version 7; Predict gives the answer and turning points of version 8"
    )
    await expect(desk.page.locator(".curve")).to_have_count(0)
    await desk.page.unroute("**/predict/what-if")
    await desk.predict()
    await expect(desk.page.locator("#turning")).to_contain_text("can alone take this answer")


async def test_drivers_that_could_not_be_had_are_asked_for_again(desk, models):
    """By keyboard; the focus stays with them."""
    busy = {
        "status": 503,
        "content_type": "application/problem+json",
        "body": '{"title": "x", "detail": "too busy"}',
    }
    await desk.page.route("**/predict/explain", lambda route: route.fulfill(**busy))
    await desk.ask(models.record(number=41))
    drivers = desk.page.locator("#drivers")
    again = drivers.get_by_role("button", name="Try again")
    await again.press("Enter")
    await expect(again).to_be_focused()
    await expect(drivers).to_contain_text("too busy")
    await desk.page.unroute("**/predict/explain")
    await again.press("Space")
    await expect(drivers.locator(".driver-list")).to_be_visible()
    await expect(drivers).to_be_focused()
    desk.visitor.witness.complaints.clear()


def of_size_and_age(kind):
    """A version without an operating point, exported from rows of its own."""
    rows = pd.DataFrame({"size": np.linspace(-4, 4, 90), "age": np.tile([1.0, 2.0, 3.0], 30)})
    if kind == "number":
        return export(LinearRegression().fit(rows, rows["size"] * 3 + rows["age"]), rows).content
    labels = np.repeat(
        ["none", "some", "all"] if kind == "three classes" else ["no", "yes"],
        30 if kind == "three classes" else 45,
    )
    return export(LogisticRegression().fit(rows, labels), rows).content


@pytest.mark.parametrize(
    ("kind", "said", "height"),
    [
        ("number", "The number moves most with: Size (", "from the least to the greatest"),
        ("three classes", "1 of 2 values can alone change this answer: Size below ", "0 to 100 % some"),
        ("no operating point", "1 of 2 values can alone change this answer: Size below ", "dashed line: 50 %"),
    ],
)  # fmt: skip
async def test_turning_points_of_other_models(site, visit, kind, said, height):
    """A number has no sides: how far it moves. Of several classes, the height is the predicted one's."""
    await site.promote(9, of_size_and_age(kind))
    desk = Desk(await visit(site.url))
    await desk.is_in_state("ready")
    await desk.ask({"size": 0.3, "age": 2})
    await desk.button("Turning points").click()
    summary = desk.page.locator("#turning")
    await expect(summary).to_contain_text(said)
    await expect(summary).to_contain_text(height)
    await expect(desk.page.locator(".curve")).to_have_count(3)


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
