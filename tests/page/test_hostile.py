"""Text that would run, were it read as HTML: in cells, in names, in labels. It is shown as the text it is.

That nothing ran is what the witness sees at each test's end: no dialog, no complaint of the policy, no
request that such an image would make.
"""

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.models import IMAGE, SCRIPT, hostile
from tests.page.site import Site
from tests.predictor.graphs import classifier

pytestmark = pytest.mark.whole

CELL = "<img src=http://elsewhere.example/x onerror=alert('cell')>"


def rows_of(records, separator=","):
    lines = [separator.join(records[0]), *(separator.join(map(str, r.values())) for r in records)]
    return "\n".join(lines) + "\n"


async def nothing_was_made_of_it(desk):
    assert await desk.page.locator("img[onerror], script:not([src])").count() == 0


@pytest.mark.parametrize("text", [CELL, SCRIPT])
async def test_in_a_pasted_cell(desk, models, text):
    """It stands in the field, and the service refuses it as no number."""
    record = {**models.benign, "mean_area": text}
    await desk.paste("\t".join(map(str, record.values())), "mean_radius")
    await expect(desk.field("mean_area")).to_have_value(text)
    await desk.predict()
    await expect(desk.field("mean_area")).to_have_attribute("aria-invalid", "true")
    await nothing_was_made_of_it(desk)


async def test_in_the_cells_the_names_and_the_name_of_a_file(desk, models):
    """An identifier is shown in the table, as a text; a measurement is refused in its row."""
    records = [
        {SCRIPT: CELL, **models.record(number=0)},
        {SCRIPT: SCRIPT, **models.record(number=1), "mean_area": CELL},
    ]
    await desk.drop(f"{IMAGE}.csv", rows_of(records))
    await expect(desk.table.get_by_role("columnheader", name=SCRIPT)).to_be_visible()
    assert list(await desk.column(SCRIPT)) == [CELL, SCRIPT]
    await expect(desk.table).to_contain_text("Not answered.")
    await expect(desk.table).to_contain_text(IMAGE)
    await nothing_was_made_of_it(desk)


async def test_in_names_of_a_file_that_is_refused(desk):
    await desk.drop("names.csv", f"mean_radius,{CELL}\n1,2\n")
    await expect(desk.page.get_by_text("Missing columns: ")).to_be_visible()
    await nothing_was_made_of_it(desk)


async def test_in_the_names_and_classes_of_a_version(site, desk):
    """Permission to promote a version is no permission to run code in a clinician's browser."""
    await site.promote(9, hostile())
    await expect(desk.page.locator("#model-version")).to_contain_text("9")
    await expect(desk.field("b")).to_be_visible()
    inputs = desk.page.locator("#fields input")
    assert [await each.get_attribute("name") for each in await inputs.all()] == [SCRIPT, "b"]
    for each, value in zip(await inputs.all(), ("5", "1"), strict=True):
        await each.fill(value)
    await desk.predict()
    await expect(desk.prediction).to_have_text(IMAGE)
    await desk.drop("ward.csv", "5,1\n-5,1\n")
    await expect(desk.table.locator("tbody tr")).to_have_count(2)
    assert list(await desk.column("Prediction")) == [IMAGE, "benign"]
    await nothing_was_made_of_it(desk)


NAMES = {
    "a script": SCRIPT.replace("/", ""), "an image": IMAGE, "a property": "__proto__",
    "right to left": "\u202egnorw", "a megabyte": "x" * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
async def test_in_the_name_of_a_model_on_the_page_and_in_the_documentation(
    tmp_path, models, visit, kind
):
    """Both show it as text, answer all the same, and are no wider than the window."""
    site = Site(tmp_path, model_uri=f"models:/{NAMES[kind]}/Production")
    await site.promote(7, models.logistic, name=NAMES[kind])
    await site.start()
    narrow = {"viewport": {"width": 360, "height": 800}}
    desk = Desk(await visit(site.url, **narrow))
    await desk.is_in_state("ready")
    await desk.ask(models.benign)
    await expect(desk.prediction).to_have_text("benign")
    await nothing_was_made_of_it(desk)
    assert await width_beyond(desk.page) == 0
    docs = (await visit(f"{site.url}docs", **narrow)).page
    await expect(docs.locator("#version")).to_have_text("version 7")
    assert await docs.locator("header img, header script").count() == 0
    await site.stop()


@pytest.mark.parametrize("name", [*list(NAMES.values())[:4], "x" * 10_000, "constructor", "\n"])
async def test_in_features_and_classes_of_any_kind(site, desk, name):
    """They are keys of records, and so must never be properties of the page's own objects."""
    await site.promote(
        9,
        classifier(
            labels=(name, "benign"),
            metadata={"feature_names": [name, "b"], "class_labels": [name, "benign"]},
        ),
    )
    await expect(desk.page.locator("#model-version")).to_contain_text("9")
    await expect(desk.field("b")).to_be_visible()
    for each, value in zip(await desk.page.locator("#fields input").all(), "51", strict=True):
        await each.fill(value)
    await desk.predict()
    await expect(desk.prediction).to_have_text(
        name.replace("\u202e", "\ufffd") if name.strip() else '"\n"'
    )
    await nothing_was_made_of_it(desk)
    assert await width_beyond(desk.page) == 0


async def width_beyond(page):
    """By how many pixels the page is wider than the window."""
    return await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")


async def test_the_policy_would_stop_what_the_page_let_through(site, visit):
    """Were a text ever read as HTML, the browser would refuse: no script inline, no HTML from text."""
    desk = Desk(await visit(site.url))
    await desk.is_in_state("ready")
    refused = """() => {
      const script = document.createElement("script");
      let thrown = "";
      try { script.text = "document.ran = true"; } catch (error) { thrown = error.name; }
      try { document.body.innerHTML = "<b>x</b>"; } catch (error) { thrown += error.name; }
      document.head.append(script);
      return [thrown, document.ran === undefined];
    }"""
    assert await desk.page.evaluate(refused) == ["TypeErrorTypeError", True]
    complaints = desk.visitor.witness.complaints
    assert all("TrustedScript" in each or "TrustedHTML" in each for each in complaints), complaints
    complaints.clear()
