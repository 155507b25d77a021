"""How the form and the answer are laid out and named, at four widths and more, in the light and in the dark."""

import re

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.ops_states import versions
from tests.page.site import NAME
from tests.predictor.graphs import classifier, regressor

pytestmark = pytest.mark.whole

WIDTHS = (360, 768, 1024, 1440)
WHOLE = """() => {
  const { top, bottom } = document.querySelector(".answer-card").getBoundingClientRect();
  return { top, bottom, high: innerHeight, tall: bottom - top };
}"""
GROUPS = """() => {
  const place = document.querySelector(".groups").getBoundingClientRect();
  const boxes = [...document.querySelectorAll("fieldset")].map((each) => each.getBoundingClientRect());
  const rows = Map.groupBy(boxes, ({ top }) => Math.round(top));
  return { free: [...rows.values()].map((row) => place.right - row.at(-1).right) };
}"""
CONTRAST = """([selector, property, ground]) => {
  const rgb = (place, property) => getComputedStyle(place)[property].match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (colour) => colour.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const place = document.querySelector(selector);
  const [a, b] = [light(rgb(place, property)), light(rgb(document.querySelector(ground), "backgroundColor"))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def at(width, height=900):
    return {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_answer_is_in_view_when_it_is_whole(site, visit, models, width):
    """From its head on; to its end, if it is not higher than the window."""
    desk = Desk(await visit(site.url, **at(width, 1100)))
    await desk.is_in_state("ready")
    await desk.ask(models.record(number=3))
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    await desk.page.wait_for_function(
        f"({WHOLE})().top >= -1 && ({WHOLE})().top < ({WHOLE})().high"
    )
    seen = await desk.page.evaluate(WHOLE)
    assert seen["bottom"] <= seen["high"] + 1 or seen["top"] < 40, seen


@pytest.mark.parametrize("width", [*WIDTHS, 737, 986, 1100, 1192, 1201, 1300])
async def test_the_form_uses_its_whole_width(site, visit, width):
    desk = Desk(await visit(site.url, **at(width)))
    await desk.is_in_state("ready")
    found = await desk.page.evaluate(GROUPS)
    assert all(abs(free) < 2 for free in found["free"]), found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_gauge_is_seen(site, visit, models, scheme):
    """Graphics need a contrast of 3 (WCAG 1.4.11): the line and the median on the field."""
    desk = Desk(await visit(site.url, color_scheme=scheme))
    await desk.is_in_state("ready")
    for place in (".gauge", ".gauge i"):
        found = await desk.page.evaluate(CONTRAST, [place, "backgroundColor", ".entry input"])
        assert found >= 3, (place, found)


async def test_each_field_has_a_name_of_its_own_with_its_group_and_its_unit(desk):
    """A list of fields, as a screen reader has one, would else have three of each name."""
    names = await desk.page.locator("#fields label").evaluate_all(
        "all => all.map(each => each.textContent)"
    )
    assert len(set(names)) == len(names) == 30
    field = desk.page.get_by_role("textbox", name="Texture (worst) gray levels")
    await expect(field).to_have_attribute("name", "worst_texture")
    await expect(desk.page.locator(".row", has=field).locator(".unit")).to_be_visible()


async def test_a_refusal_goes_with_the_last_wrong_value(desk, models):
    """It counts down; a value that is still no number keeps its message."""
    await desk.type({**models.benign, "mean_area": "", "worst_area": "large"})
    await desk.predict()
    await expect(desk.answer).to_contain_text("2 values need a look")
    await desk.field("mean_area").fill("500")
    await expect(desk.answer).to_contain_text("1 value needs a look")
    await desk.field("worst_area").fill("very large")
    await expect(desk.answer).to_contain_text("1 value needs a look")
    await expect(desk.field("worst_area")).to_have_attribute("aria-invalid", "true")
    await desk.field("worst_area").fill("700")
    await expect(desk.answer).not_to_contain_text("a look")
    await expect(desk.field("worst_area")).not_to_have_attribute("aria-invalid", "true")


async def test_an_impossible_value_is_warned_about_before_the_verdict(desk, models):
    await desk.ask({**models.benign, "mean_area": "-5"})
    await expect(desk.answer.locator(".warned")).to_contain_text("Mean area: \N{MINUS SIGN}5")
    order = "document.querySelector('.warned').compareDocumentPosition(document.querySelector('.verdict'))"
    assert await desk.page.evaluate(order) == 4  # DOCUMENT_POSITION_FOLLOWING


async def test_that_no_version_serves_is_said_in_the_same_words_everywhere(
    site, visit, desk, models
):
    await desk.ask(models.benign)
    await site.demote()
    for each in (desk, Desk(await visit(site.url))):
        await each.is_in_state("none")
        text = await each.page.locator("body").inner_text()
        assert len(re.findall("(?i)no version serves now", text)) > 1
        assert not re.search("(?i)no model|may serve|serves yet|no version(?! serves now)", text)


async def test_a_model_says_itself_what_its_values_are_and_what_to_bear_in_mind(site, desk):
    await expect(desk.page.get_by_role("heading", name="Measurements")).to_be_visible()
    await expect(desk.page.locator("#caution")).to_have_text("Decision support, not a diagnosis.")
    await expect(desk.page.locator("#foot")).to_contain_text("not a diagnosis")
    await site.promote(9, regressor())
    await expect(desk.page.get_by_role("heading", name="Values", exact=True)).to_be_visible()
    await expect(desk.page.locator("#caution")).to_have_text("An estimate, not a certainty.")
    text = (await desk.page.locator("body").inner_text()).replace(NAME.replace("-", " "), "")
    assert not re.search("(?i)diagnos|measurement|patient|clinic", text)


async def test_the_texts_of_a_model_are_in_the_language_of_the_page(site, visit):
    desk = Desk(await visit(site.url, locale="de-DE"))
    await expect(desk.page.get_by_role("heading", name="Messwerte")).to_be_visible()
    await expect(desk.page.locator("#caution")).to_have_text(
        "Eine Entscheidungshilfe, keine Diagnose."
    )
    texts = {"values": "<b>Rooms</b>" * 1000, "caution": {"fr": "Non."}}
    await site.promote(9, classifier(metadata={"page": texts}))
    await expect(desk.page.locator("#caution")).to_have_text("Non.")
    title = await desk.page.locator("#record-title").inner_text()
    assert title.startswith("<b>Rooms</b>")
    assert len(title) <= 400


async def test_what_the_model_is_can_be_read(site, desk, models):
    """Its version, digest, values and their training data; other versions; it follows a swap."""
    site.live.source.lists = versions(12, 7)
    await desk.page.get_by_text("What is this model?").click()
    card = desk.page.locator("#model-card")
    await expect(card).to_contain_text(site.live.reconciler.serving.artifact.onnx_sha256)
    await expect(card).to_contain_text("breast-cancer, version 7")
    await expect(card).to_contain_text("promoted")
    await expect(card.locator("tbody tr")).to_have_count(30 + 8)
    row = card.get_by_role("row", name=re.compile("^Worst texture"))
    await expect(row).to_contain_text("gray levels")
    await expect(row).to_contain_text("12.87 to 47.16")
    seven = card.get_by_role("row", name=re.compile("^7 "))
    await expect(seven).to_contain_text("by alice@ward: better calibrated on the newer rows")
    await site.promote(8, models.forest)
    await expect(card).to_contain_text("breast-cancer, version 8")
    await card.get_by_role("link", name="The page for operators").click()
    await expect(desk.page.locator("#verdicts")).to_contain_text("Version 8 serves")
    await desk.page.get_by_role("link", name="Page").click()
    await desk.is_in_state("ready")


async def test_a_row_is_opened_by_the_names_of_its_values(site, desk, models):
    """The version that serves by then has others, in another order."""
    await desk.drop("ward.csv", models.csv(2))
    await expect(desk.table.locator("tbody tr")).to_have_count(2)
    await desk.drop("other.csv", models.csv(2).replace("mean_area", "size"))
    assign = desk.page.locator("#assign")
    await expect(assign).to_be_visible()
    await site.promote(9, classifier(metadata={"feature_names": ["mean_area", "mean_radius"]}))
    await expect(desk.page.locator("#fields input")).to_have_count(2)
    await expect(assign).to_be_hidden()
    await desk.table.get_by_role("button", name="Open row 1").click()
    first = models.rows.iloc[0]
    for name in ("mean_area", "mean_radius"):
        await expect(desk.field(name)).to_have_value(str(first[name]))
