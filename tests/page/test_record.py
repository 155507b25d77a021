"""One record: typed or an example, answered, explained, warned about, or refused by name."""

import re

import pytest
from playwright.async_api import expect

from tests.predictor.graphs import classifier
from tests.predictor.model.test_missing_values import GRAPH

pytestmark = pytest.mark.whole


def percent(probability):
    """As the page writes it: never quite sure."""
    return "> 99.9 %" if probability >= 0.9995 else f"{100 * probability:.1f} %"


async def test_a_typed_record_is_answered(site, desk, models):
    """With the service's own numbers, and the version that computed them."""
    record = models.record(number=3)
    await desk.type(record)
    await desk.predict()
    answer = (await site.live.client.post("/predict", json=record)).json()
    await expect(desk.prediction).to_have_text(answer["prediction"])
    await expect(desk.answer).to_contain_text(percent(answer["probability"]))
    await expect(desk.answer).to_contain_text(
        re.compile("version 7 of .*, promoted", re.IGNORECASE)
    )


async def test_each_example_is_of_its_class(desk):
    for label in ("malignant", "benign"):
        await desk.button(f"Example: {label}").click()
        await desk.predict()
        await expect(desk.prediction).to_have_text(label)


async def test_a_value_that_training_never_saw_is_warned_about(desk, models):
    """Beside the field while it is typed, and with the answer, which comes all the same."""
    await desk.type({**models.benign, "mean_area": 99999})
    row = desk.page.locator(".row", has=desk.field("mean_area"))
    await expect(row).to_contain_text("Outside the training data")
    await desk.predict()
    await expect(desk.prediction).to_be_visible()
    await expect(desk.answer).to_contain_text("outside the training data")
    await expect(desk.answer).to_contain_text(
        re.compile(r"mean area: (99999|100000)", re.IGNORECASE)
    )


async def test_a_value_may_be_left_out_where_the_version_says_so(site, desk):
    """The field says it, the answer comes, and what is missing is called so among what drove it."""
    await site.live.serve(9, GRAPH)
    await desk.page.reload()
    await expect(desk.page.locator(".row", has=desk.field("dose"))).to_contain_text("may be empty")
    await expect(desk.page.locator(".row", has=desk.field("age"))).not_to_contain_text("empty")
    await desk.type({"age": 0.25})
    await desk.predict()
    await expect(desk.prediction).to_be_visible()
    await expect(desk.answer).to_contain_text(re.compile("dose missing", re.IGNORECASE))


async def test_what_drove_the_answer_is_what_the_service_explains(site, desk, models):
    """The largest contribution first, with its sign; from the baseline to this answer."""
    record = models.record(number=3)
    await desk.ask(record)
    told = (await site.live.client.post("/predict/explain", json=record)).json()["explanation"]
    drivers = desk.answer.get_by_role("table", name=re.compile("Contributions"))
    first = told["contributions"][0]
    rows = drivers.locator("tbody tr")
    await expect(rows.first).to_contain_text(f"{told['baseline']['rows']} training rows")
    name = first["feature"].replace("_", " ")
    await expect(rows.nth(1)).to_contain_text(re.compile(name, re.IGNORECASE))
    sign = "+" if first["contribution"] > 0 else "\N{MINUS SIGN}"
    await expect(rows.nth(1)).to_contain_text(sign)
    await expect(rows.last).to_contain_text("This answer")


async def test_an_answer_without_an_explanation_says_so(site, desk):
    """A version of somebody else's carries no rows to compare with."""
    await site.promote(9, classifier())
    await expect(desk.page.locator("#fields input")).to_have_count(2)
    for each in await desk.page.locator("#fields input").all():
        await each.fill("1")
    await desk.predict()
    await expect(desk.prediction).to_be_visible()
    await expect(desk.answer).to_contain_text("has no data to compute it")


async def test_what_is_missing_or_no_number_is_said_beside_its_field(desk, models):
    """The first of them has the focus, so that it can be put right at once; nothing typed is lost."""
    record = {**models.benign, "mean_area": "", "worst_area": "large"}
    await desk.type(record)
    await desk.predict()
    for feature in ("mean_area", "worst_area"):
        await expect(desk.field(feature)).to_have_attribute("aria-invalid", "true")
    await expect(desk.field("mean_area")).to_be_focused()
    await expect(desk.answer).to_contain_text("2 values need a look")
    await desk.type(models.benign)
    await desk.predict()
    await expect(desk.prediction).to_have_text("benign")


async def test_an_answer_to_another_record_is_marked(desk, models):
    """A number that is changed after the answer was given would else be read with it."""
    await desk.ask(models.benign)
    await desk.field("mean_radius").fill("25")
    await expect(desk.answer).to_contain_text("changed since this answer")
    await desk.predict()
    await expect(desk.answer).not_to_contain_text("changed since")


async def test_clear_forgets_record_and_answer(desk, models):
    await desk.ask(models.benign)
    await desk.button("Clear").click()
    assert set(await desk.typed(models.benign)) == {""}
    await expect(desk.prediction).to_have_count(0)
