"""One axis for every answer of two classes: its place, the threshold, the grey zone, and the steps that lead to it."""

import re

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.predictor.graphs import classifier, regressor

pytestmark = pytest.mark.whole

WIDTHS = (360, 768, 1024, 1440)
CENTRES = """(answer) => {
  const track = answer.querySelector(".axis-track").getBoundingClientRect();
  const at = (selector) => {
    const { left, width } = answer.querySelector(selector).getBoundingClientRect();
    return (left + width / 2 - track.left) / track.width;
  };
  const steps = [...answer.closest("section").querySelectorAll(".edge .step i")].map((each) => each.getBoundingClientRect());
  return [at(".axis-pin"), at(".axis-cut"), ...steps.map(({ left, width }) => (left + width / 2 - track.left) / track.width)];
}"""


async def contribution(site, record):
    return (await site.live.client.post("/predict/explain", json=record)).json()


@pytest.mark.parametrize("width", WIDTHS)
async def test_pin_threshold_and_steps_share_one_axis(site, visit, models, width):
    """Their places are the service's numbers, at every width, and nothing is wider than the page."""
    viewport = {"width": width, "height": 900}
    desk = Desk(await visit(site.url, viewport=viewport, reduced_motion="reduce"))
    await desk.is_in_state("ready")
    record = models.record(number=41)
    await desk.ask(record)
    await expect(desk.page.locator(".driver-list")).to_be_visible()
    told = await contribution(site, record)
    baseline = 1 / (1 + 2.718281828 ** -told["explanation"]["baseline"]["value"])
    chance, point = told["probabilities"]["malignant"], told["operating_point"]
    expected = [chance, point["threshold"], baseline, chance]
    found = await desk.page.locator("#answer").evaluate(CENTRES)
    assert found == pytest.approx(expected, abs=0.02)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await desk.page.evaluate(wide) <= 0


async def test_a_benign_answer_does_not_look_like_a_malignant_one(desk, models):
    """The other colour, the other end of the axis, the other words."""
    looks = []
    for record in (models.record(number=3), models.benign):
        await desk.ask(record)
        pin = desk.answer.locator(".axis-pin")
        colour = await pin.evaluate("pin => getComputedStyle(pin).backgroundColor")
        fill = await desk.answer.locator(".axis-fill").evaluate("bar => bar.clientWidth")
        meaning = await desk.answer.locator(".meaning-verdict").inner_text()
        looks.append((colour, fill > 100, meaning.split()[0]))
        await expect(desk.answer.locator(".probability")).to_contain_text("malignant")
    assert [look[1:] for look in looks] == [(True, "At"), (False, "Below")]
    assert looks[0][0] != looks[1][0]


async def test_a_class_beyond_the_threshold_is_said_beside_the_more_probable_one(
    site, desk, models
):
    """In the headline and in the session, so that a large "benign" is not all that is read."""
    await site.promote(8, models.forest)
    await expect(desk.news).to_contain_text("Version 8")
    await desk.ask({**models.record(number=41), "texture_error": 5.1})
    told = "malignant, above the threshold"
    await expect(desk.answer.locator(".prediction")).to_have_text("benign")
    await expect(desk.answer.locator(".probability")).to_contain_text(told)
    await expect(desk.page.locator(".told b").first).to_contain_text(told)
    await desk.ask(models.record(number=3))
    await expect(desk.answer.locator(".prediction")).to_have_text("malignant")
    await expect(desk.answer.locator(".probability")).not_to_contain_text("threshold")


async def test_the_threshold_is_said_in_counts_with_the_grey_zone(site, desk, models):
    """As the artifact has them."""
    await desk.ask(models.benign)
    schemas = (await site.live.client.get("/openapi.json")).json()["components"]["schemas"]
    point = schemas["OperatingPoint"]["x-operating-point"]
    held_out, zone = point["held_out"], point["grey_zone"]
    for text in (
        f"found {held_out['found']} of {held_out['positives']} cases (malignant; 95 % interval",
        f"The lowest probability of a case in the test data was {100 * held_out['lowest_positive']:.1f}",
        f"{zone['positives']} of {zone['of_positives']} cases and {zone['negatives']} of ",
    ):
        await expect(desk.answer).to_contain_text(text)


async def test_a_version_without_a_threshold_says_that_the_cut_is_its_own(site, desk):
    """And which class the axis shows, where none is named as the positive one."""
    for number, named, text in (
        (8, {}, "It names no positive class either, so the axis shows its last one, benign"),
        (9, {"positive_class": "malignant"}, "50 % is the model's own cut-off"),
    ):
        labels = {"class_labels": ["malignant", "benign"], **named}
        await site.promote(number, classifier(metadata=labels))
        await expect(desk.page.locator("#model-version")).to_contain_text(str(number))
        await expect(desk.page.locator("#fields input")).to_have_count(2)
        for each in await desk.page.locator("#fields input").all():
            await each.fill("1")
        await desk.predict()
        await expect(desk.answer).to_contain_text(text)
        await expect(desk.answer.locator(".axis-label")).to_contain_text("own")
    await expect(desk.answer.locator(".probability")).to_have_text(re.compile("% malignant"))


async def test_a_value_has_no_axis(site, desk):
    """Of a regressor."""
    await site.promote(8, regressor())
    await expect(desk.page.locator("#fields input")).to_have_count(2)
    for each in await desk.page.locator("#fields input").all():
        await each.fill("1.5")
    await desk.predict()
    await expect(desk.prediction).to_have_text("3")
    await expect(desk.answer.locator(".axis")).to_have_count(0)
