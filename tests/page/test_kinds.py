"""The whole journey with every kind of model: what is shown, said, taken away, and asked again after a swap."""

import ast
import csv
import io
import json
import re
import sys

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.kinds import KINDS
from tests.page.site import Site
from tests.page.test_accessibility import OF_WCAG, WIDER
from tests.page.test_report import run
from tests.required import program

pytestmark = pytest.mark.whole

# What no sentence has, whatever the model: a value that JavaScript wrote, a word of another model, a change that is none.
NONSENSE = re.compile(
    r"\bNaN\b|undefined|\bnull\b|\[object|Infinity|malignant|benign|diagnos|: (.+) instead of \1\.",
    re.IGNORECASE,
)
COMMANDS = {
    "curl": lambda: ["bash", "-c"],
    "Python": lambda: [sys.executable, "-c"],
    "JavaScript": lambda: [program("node"), "--input-type=module", "--eval"],
}


class Walk:
    """One journey. `saved` is the report's file, `rows` those of the list's file."""

    def __init__(self, desk, kind):
        self.desk, self.kind, self.page = desk, kind, desk.page

    async def go(self):
        await self.look("form")
        await self.ask(self.kind.record)
        await self.look("answer")
        if await self.desk.button("Turning points").is_visible():
            await self.turning_points()
            await self.what_if()
        await self.compare()
        await self.code_and_card()
        await self.report()
        await self.list_of_rows()

    async def look(self, station):
        """Read all that the page says, and have axe look at it."""
        await expect(self.page.locator(".working")).to_have_count(0)
        said = await self.page.evaluate("document.title + '\\n' + document.body.innerText")
        assert not NONSENSE.search(said), (station, NONSENSE.search(said))
        assert await self.page.evaluate(WIDER) <= 0, station
        assert await self.page.locator("img[onerror], script:not([src])").count() == 0
        if len(self.kind.record) > 50 and station not in {"form", "list"}:
            return  # axe takes ten seconds
        found = (await Axe().run(self.page, options=OF_WCAG)).response["violations"]
        assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []

    async def fill(self, record):
        if len(record) > 50:  # typing takes a minute
            await self.desk.paste("\t".join(map(str, record.values())), next(iter(record)))
            return
        for name, value in record.items():
            if isinstance(value, bool):
                await self.desk.field(name).select_option(str(value).lower())
            else:
                await self.desk.field(name).fill("" if value is None else str(value))

    async def ask(self, record):
        await self.fill(record)
        await self.desk.predict()
        await expect(self.page.locator("#fields")).to_have_attribute("aria-busy", "false")
        await expect(self.desk.prediction).to_be_visible()
        await expect(self.page.locator(".working")).to_have_count(0)

    async def turning_points(self):
        await self.desk.button("Turning points").click()
        await expect(self.page.locator("#turning")).to_contain_text(re.compile(r"\.$"))
        await self.look("turning points")

    async def what_if(self):
        """By the arrow keys in the first number, by its slider, and back."""
        field = self.desk.field(
            next(n for n, v in self.kind.record.items() if type(v) in {int, float})
        )
        before = await field.input_value()
        for _ in range(12):
            await field.press("ArrowUp")
        await expect(field).not_to_have_value(before)
        await expect(self.page.locator("#progress")).not_to_be_empty()
        await self.look("what if")
        await self.page.locator(".what-if").press("PageDown")
        await self.desk.button("Undo").click()
        await expect(field).to_have_value(before)
        await expect(self.desk.answer).not_to_contain_text("What if: ")

    async def compare(self):
        for record in self.kind.records[1:4]:
            await self.ask(record)
        for number in range(1, 5):
            await self.page.get_by_label(f"Compare answer {number}").check()
        await expect(self.page.locator(".compared thead th")).to_have_count(4)
        await self.look("compare")

    async def code_and_card(self):
        summaries = [self.page.get_by_text(t) for t in ("Use from code", "What is this model?")]
        for each in summaries:
            await each.click()
        ran = [await self.ran(language, command()) for language, command in COMMANDS.items()]
        assert json.loads(ran[0]) == ast.literal_eval(ran[1])
        assert self.kind.version in ran[2]
        self.answer = json.loads(ran[0])
        rows = self.page.locator("#model-card tbody").first.locator("tr")
        await expect(rows).to_have_count(len(self.kind.record))
        await self.look("code and card")
        for each in summaries:
            await each.click()

    async def ran(self, language, command):
        return await run([*command, await self.copied(f"Copy: {language}")])

    async def copied(self, button):
        await self.desk.visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await self.desk.button(button).click()
        await expect(self.page.locator("#report-tools")).to_contain_text("Copied.")
        return await self.page.evaluate("navigator.clipboard.readText()")

    async def report(self):
        """In its three forms. The file has the record as it was asked for, without what is missing."""
        text = await self.copied("Copy as text")
        async with self.page.expect_download() as download:
            await self.desk.button("Save as JSON").click()
        saved = json.loads((await (await download.value).path()).read_text())
        asked = self.kind.records[3]
        assert saved["record"] == {name: v for name, v in asked.items() if v is not None}
        assert saved["answer"] == self.answer
        await self.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        paper = await self.page.locator("#paper").text_content()
        await self.page.evaluate("dispatchEvent(new Event('afterprint'))")
        for form in (text, paper):
            assert not NONSENSE.search(form), form

    async def list_of_rows(self):
        """Assigned by hand where a head is blank; sorted by each column; a row of it opened."""
        await self.desk.drop("rows.csv", self.kind.csv())
        if " " in self.kind.record:
            await self.look("assign")
            await self.page.locator("#assign").get_by_label('" "').select_option(label="Column 13")
            await self.desk.button("Use these columns").click()
        await expect(self.desk.table.locator("tbody tr")).to_have_count(len(self.kind.records))
        await self.look("list")
        for title in await self.desk.table.locator("thead button").all():
            await title.click()
        await self.desk.button("Open row 2").click()
        await expect(self.desk.prediction).to_be_visible()
        await self.look("row")
        self.rows = list(csv.DictReader(io.StringIO(await self.desk.download())))


@pytest_asyncio.fixture(loop_scope="session")
async def place(tmp_path):
    """A service without a version, whose model is named after none."""
    made = Site(tmp_path, model_uri="models:/example/Production")
    await made.start()
    yield made
    await made.stop()


async def arrive(place, visit, kind, **context):
    await place.promote(int(kind.version), kind.content, name="example")
    desk = Desk(await visit(place.url, reduced_motion="reduce", **context))
    await desk.is_in_state("ready")
    return desk


def text_of(prediction):
    """As the list's file has it."""
    all_of_it = prediction if isinstance(prediction, list) else [prediction]
    return "; ".join(str(each).removesuffix(".0") for each in all_of_it)


@pytest.mark.parametrize("name", KINDS)
async def test_a_journey(place, visit, name):
    """The list's file has the service's own answers to its rows."""
    kind = KINDS[name]()
    walk = Walk(await arrive(place, visit, kind), kind)
    await walk.go()
    records = [{n: v for n, v in each.items() if v is not None} for each in kind.records]
    answered = await place.live.client.post("/predict/batch", json={"instances": records})
    expected = [text_of(each["prediction"]) for each in answered.json()["predictions"]]
    rows = {row["sample"]: row["prediction"].removeprefix("'") for row in walk.rows}
    assert [rows[f"S-{number:02}"] for number in range(1, len(records) + 1)] == expected


async def test_from_each_kind_to_the_next(place, visit):
    """An answer and a list are open meanwhile: both stay, and say of which version they are."""
    kinds = [KINDS[name]() for name in KINDS]
    desk = await arrive(place, visit, kinds[-1])
    walk, listed = Walk(desk, kinds[-1]), kinds[-1]
    for number, kind in enumerate(kinds):
        before, walk.kind = walk.kind, kind
        await place.promote(int(kind.version), kind.content, name="example")
        await expect(desk.news).to_contain_text(f"Version {kind.version} of example")
        await expect(desk.page.locator("#fields .entry")).to_have_count(len(kind.record))
        if number > 0:
            await expect(desk.answer).to_contain_text(f"version {before.version}")
            await expect(desk.table).to_contain_text(f"from version {listed.version}")
        said = await desk.page.locator("body").inner_text()
        assert not NONSENSE.search(said), (kind.version, NONSENSE.search(said))
        await walk.ask(kind.record)
        await expect(desk.page.locator("#provenance")).to_contain_text(f"version {kind.version}")
        if " " not in kind.record:
            await desk.drop("rows.csv", kind.csv())
            await expect(desk.table).to_contain_text(f"6 rows, version {kind.version}")
            listed = kind


async def test_answers_of_different_kinds_side_by_side(place, visit):
    """Each has the values that it has; the oldest is opened again where its features are gone."""
    kinds = [KINDS[name]() for name in ("three classes", "several targets", "mixed columns")]
    desk = await arrive(place, visit, kinds[0])
    for kind in kinds:
        await place.promote(int(kind.version), kind.content, name="example")
        await expect(desk.field(next(iter(kind.record)))).to_be_visible()
        await expect(desk.page.locator("#fields .entry")).to_have_count(len(kind.record))
        await Walk(desk, kind).ask(kind.record)
    for number in (1, 2, 3):
        await desk.page.get_by_label(f"Compare answer {number}").check()
    await Walk(desk, kinds[-1]).look("compare")
    await desk.button("Open the values of answer 1").click()
    await expect(desk.answer).to_contain_text("values need a look")
    await Walk(desk, kinds[-1]).look("opened")
    await desk.button("Undo").click()
    await expect(desk.field("district")).to_have_value(str(kinds[-1].record["district"]))


async def test_a_german_list_of_several_numbers(place, visit):
    """Predictions have decimal commas, as have all numbers of the file."""
    kind = KINDS["several targets"]()
    await place.promote(int(kind.version), kind.content, name="example")
    page = (await visit(place.url, locale="de-DE")).page
    desk = Desk(type("Found", (), {"page": page}))
    await desk.is_in_state("ready")
    await desk.drop("rows.csv", kind.csv())
    async with page.expect_download() as download:
        await page.get_by_role("button", name="CSV herunterladen").click()
    written = (await (await download.value).path()).read_text(encoding="utf-8-sig")
    (first, *_) = csv.DictReader(io.StringIO(written), delimiter=";")
    assert re.fullmatch(r"192,1\d*; -42", first["prediction"]), first


async def test_the_documentation_of_hostile_names(place, visit):
    """Swagger UI shows them as texts, too."""
    kind = KINDS["hostile names"]()
    await place.promote(int(kind.version), kind.content, name="example")
    docs = (await visit(f"{place.url}docs")).page
    await docs.locator(".opblock-summary-control", has_text="/predict").first.click()
    await expect(docs.locator(".opblock.is-open")).to_contain_text("alert(1)")
    assert await docs.locator("img[onerror], script:not([src])").count() == 0
