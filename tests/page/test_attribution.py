"""Whatever comes in between: values, answer, drivers, version and reference are of one question."""

import asyncio
import json

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.whole

BUSY = {"status": 503, "content_type": "application/problem+json", "body": '{"title": "Busy"}'}


@pytest.fixture
async def hold(desk):
    """Requests to a path wait until the event is set that this returns."""

    async def held(pattern):
        gate = asyncio.Event()

        async def wait(route):
            await gate.wait()
            await route.continue_()

        await desk.page.route(pattern, wait)
        return gate

    return held


async def saved(desk):
    async with desk.page.expect_download() as download:
        await desk.button("Save as JSON").click()
    return json.loads((await (await download.value).path()).read_text())


async def belongs_together(site, desk, reference):
    """What is saved is one question's, as the service answers it now, and is what the page shows."""
    found = await saved(desk)
    answer = (await site.live.client.post("/predict/explain", json=found["record"])).json()
    explanation = answer.pop("explanation", None)
    assert found["answer"] == answer
    assert found["explanation"] in (None, explanation)
    assert found["reference"] == reference
    await expect(desk.answer).to_contain_text(f"Computed by version {answer['model_version']}")
    await expect(desk.prediction).to_have_text(str(answer["prediction"]))
    return found


def reference_of(desk):
    return desk.page.get_by_label("Reference")


def subject_of(desk):
    return desk.answer.locator("#subject")


async def test_a_reference_that_is_typed_after_the_answer_is_not_the_next_record_s(desk, models):
    await desk.ask(models.record())
    await reference_of(desk).fill("first")
    await expect(subject_of(desk)).to_have_text("Reference: first")
    await desk.button("Example: benign").click()
    await expect(reference_of(desk)).to_have_value("")
    await desk.predict()
    await expect(desk.prediction).to_have_text("benign")
    await expect(subject_of(desk)).to_be_empty()


async def test_the_values_of_another_record_are_not_what_if_of_the_one_before(desk, models):
    """An arrow key moves only values that were answered."""
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await desk.button("Example: benign").click()
    before = await desk.field("mean_radius").input_value()
    await desk.field("mean_radius").press("ArrowUp")
    await expect(desk.field("mean_radius")).to_have_value(before)
    await expect(desk.answer.locator(".mark")).to_have_count(0)
    await desk.button("Undo").click()
    await desk.field("mean_radius").press("ArrowUp")
    await expect(desk.answer.locator(".mark")).to_contain_text("Mean radius")
    await expect(subject_of(desk)).to_have_text("Reference: first")


async def test_an_arrow_key_does_not_take_the_place_of_a_question(desk, models, hold):
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await desk.type(models.benign)
    await reference_of(desk).fill("second")
    gate = await hold("**/predict")
    await desk.page.locator("#predict").click()
    await desk.field("mean_radius").press("ArrowUp")
    gate.set()
    await expect(subject_of(desk)).to_have_text("Reference: second")
    await expect(desk.answer.locator(".mark")).to_have_count(0)


async def test_undone_moves_of_an_earlier_record_are_not_what_if_of_this_one(desk, models):
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await desk.field("mean_radius").press("ArrowUp")
    await expect(desk.answer.locator(".mark")).to_be_visible()
    await desk.button("Example: benign").click()
    await reference_of(desk).fill("second")
    await desk.predict()
    await expect(subject_of(desk)).to_have_text("Reference: second")
    await desk.button("Undo").click()
    await desk.button("Undo").click()
    await expect(reference_of(desk)).to_have_value("first")
    await asyncio.sleep(1)
    await expect(desk.answer).to_contain_text("The values have changed since this answer.")
    await expect(desk.answer.locator(".mark")).to_have_count(0)


async def test_values_that_got_no_answer_when_moved_are_in_no_report(site, desk, models):
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    await desk.page.route("**/predict/what-if", lambda route: route.fulfill(**BUSY))
    async with desk.page.expect_response("**/predict/what-if"):
        await desk.field("mean_radius").press("PageDown")
    await asyncio.sleep(1)
    found = await belongs_together(site, desk, "first")
    assert found["record"] == models.record()


async def test_drivers_of_another_version_are_not_in_the_report(site, desk, models, hold):
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    gate = await hold("**/predict/explain")
    await site.promote(8, models.forest)
    await expect(desk.answer).to_contain_text("Computed by version 8")
    assert (await belongs_together(site, desk, "first"))["explanation"] is None
    gate.set()
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    assert (await belongs_together(site, desk, "first"))["explanation"] is not None


async def test_an_answer_that_comes_with_its_explanation_is_the_one_of_the_report(
    site, desk, models, hold
):
    """The explanation is another version's than the answer."""
    gate = await hold("**/predict/explain")
    status = await hold("**/openapi.json")
    await reference_of(desk).fill("first")
    await desk.ask(models.record())
    await site.promote(8, models.forest)
    gate.set()
    await expect(desk.answer).to_contain_text("Computed by version 8")
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    found = await belongs_together(site, desk, "first")
    assert found["request_id"]
    status.set()
    await expect(desk.page.locator("#model-version")).to_contain_text("8")
    await belongs_together(site, desk, "first")


async def test_turning_points_of_another_version_go_with_its_answer(site, desk, models, hold):
    await desk.ask(models.record(number=3))
    await desk.button("Turning points").click()
    await expect(desk.page.locator("#fields .curve").first).to_be_visible()
    gate = await hold("**/predict/what-if")
    await site.promote(8, models.forest)
    await expect(desk.answer).to_contain_text("Computed by version 8")
    await expect(desk.page.locator("#fields .curve")).to_have_count(0)
    gate.set()
    await expect(desk.page.locator("#fields .curve").first).to_be_visible()


async def test_a_version_with_the_features_in_another_order_gets_the_same_values(
    site, desk, models
):
    record = models.record()
    await reference_of(desk).fill("first")
    await desk.ask(record)
    await site.promote(8, models.reversed)
    await expect(desk.answer).to_contain_text("Computed by version 8")
    await expect(desk.answer).not_to_contain_text("The values have changed")
    await desk.visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await desk.button("Copy as text").click()
    await expect(desk.page.locator("#report-tools")).to_contain_text("Copied.")
    text = await desk.page.evaluate("navigator.clipboard.readText()")
    for name, value in record.items():
        assert f"{name.replace('_', ' ').capitalize()}: {value}" in text
    await desk.page.locator(".told button").first.click()
    assert await desk.typed(record) == [str(value) for value in record.values()]


async def test_cells_that_are_mended_at_once_have_their_own_answers(site, desk, models, hold):
    """A value stands beside no other value's answer, and each gets its own."""
    await desk.drop("ward.csv", models.csv(4))
    await expect(desk.table).to_contain_text("4 rows")
    gate = asyncio.Event()
    texts = {1: "900", 2: "4000"}
    rows = [dict(row) for _, row in models.rows.head(4).iterrows()]
    rows[0]["mean_area"], rows[1]["mean_area"] = -5.0, -6.0
    listed = models.rows.head(4).copy()
    listed.insert(0, "patient", ["P-1", "P-2", "P-3", "P-4"])
    listed.iloc[0, listed.columns.get_loc("mean_area")] = -5.0
    listed.iloc[1, listed.columns.get_loc("mean_area")] = -6.0
    await desk.drop("ward.csv", listed.to_csv(index=False))
    fields = {row: desk.table.get_by_label(f"Mean area of row {row}") for row in texts}
    await expect(fields[2]).to_have_value("-6.0")

    async def wait(route):
        await gate.wait()
        await route.continue_()

    await desk.page.route("**/predict/batch*", wait)
    for row, text in texts.items():
        await fields[row].fill(text)
        await fields[row].press("Enter")
    await desk.table.get_by_role("button", name="patient").click()
    await expect(fields[2]).to_have_value("-6.0")
    gate.set()
    for row, text in texts.items():
        rows[row - 1]["mean_area"] = float(text)
    await expect(fields[1]).to_have_count(0)
    expected = await site.live.client.post("/predict/batch", json={"instances": rows})
    told = {}
    for line in (await desk.download()).splitlines()[1:]:
        told[line.split(",")[1]] = line
    for at, answer in enumerate(expected.json()["predictions"]):
        line = told[f"P-{at + 1}"]
        assert answer["prediction"] in line
        assert str(answer["probabilities"]["malignant"])[:8] in line, line
