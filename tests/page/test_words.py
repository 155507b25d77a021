"""The texts of the pages: a table in two languages for each, by the browser's wish; no text is anywhere else."""

import json
import re

import pytest
from playwright.async_api import expect

from predictor.operations import page
from tests.page.desk import Desk
from tests.page.node import Modules

pytestmark = pytest.mark.whole

SHAPE = """((shape) => shape(m.LANGUAGE))(function shape(part) {
  if (typeof part === "function") return part.length;
  if (typeof part === "string") return "text";
  return Object.fromEntries(Object.keys(part).sort().map((key) => [key, shape(part[key])]));
})"""
LITERAL = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""")
SENTENCE = re.compile(r"[^\W\d_]{2,}[,.:;]? [^\W\d_]{2,}|^\W*[A-Z][a-z]{2,}\b", re.MULTILINE)
# Words that are no text of the page: headers, events, and names of the platform.
NAMES = re.compile(
    r"^(Authorization|Bearer .*|Accept|Content-Type|Last-Event-ID|Retry-After|Files|[A-Z]\w+Error"
    r"|Production|Staging|Archived|None|Highlight)$"
)
TABLE = {"english.js", "german.js"}
OPS = [f"ops/{name}" for name in page.OPS_ASSETS]
CODE = {"code.js"}  # its texts are programs


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return Modules(tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("folder", ["", "ops/"], ids=["page", "operators"])
def test_both_languages_have_the_same_texts(modules, folder):
    """With the same number of parameters, and each has one."""
    (english,), (german,) = (
        modules.compute(f"{folder}{each}.js", SHAPE.replace("LANGUAGE", each))
        for each in ("english", "german")
    )
    assert english == german
    for each in ("english", "german"):
        empty = f'[...JSON.stringify(m.{each}).matchAll(/:""/g)].length'
        assert modules.compute(f"{folder}{each}.js", empty) == [0]


def test_the_first_language_counts_that_the_page_has(modules):
    wishes = {
        ("de-AT", "en"): "de",
        ("fr", "de"): "de",
        ("fr-FR", "EN-us", "de"): "en",
        ("fr",): "en",
        (): "en",
        ("__proto__", "de"): "de",
    }
    calls = [f"m.languageOf({json.dumps(wish)})" for wish in wishes]
    assert modules.compute("words.js", *calls) == list(wishes.values())


def sentences(source: str) -> list[str]:
    """The literals of a module that read like text for people."""
    code = re.sub(r"^\s*//.*$| // .*$", "", source, flags=re.MULTILINE)
    styles = "".join(
        (page.FOLDER / name).read_text() for name in (*page.ASSETS, *OPS) if "css" in name
    )
    classes = {
        "th",
        "button",
        "[tabindex]",
        "summary",
        "select",
        *re.findall(r"\.([a-z][\w-]*)", styles),
    }
    found = []
    for literal in LITERAL.findall(code):
        text = re.sub(r"\$\{[^}]*\}", "", literal[1:-1])
        if (
            SENTENCE.search(text)
            and not NAMES.match(text)
            and not set(text.replace(".", "").replace(",", "").split()) <= classes
        ):
            found.append(literal)
    return found


@pytest.mark.parametrize(
    "name", [each for each in (*page.ASSETS, *OPS) if each.endswith(".js") and each not in CODE]
)
def test_no_text_is_outside_the_table(name):
    found = sentences((page.FOLDER / name).read_text())
    assert bool(found) == (name.removeprefix("ops/") in TABLE), found


@pytest.mark.parametrize("folder", [page.FOLDER, page.OPS], ids=["page", "operators"])
def test_the_html_has_no_text_of_its_own(folder):
    """Except for a browser without JavaScript, which gets a sentence in each language."""
    html = (folder / page.PAGE).read_text()
    body = re.sub(r"(?s)<(noscript|title)>.*?</\1>|<!doctype html>", "", html)
    assert re.sub(r"<[^>]*>|\s", "", body) == ""
    assert not re.search(r'(aria-label|placeholder|title|alt)="', body)
    assert 'lang="de"' in re.search(r"(?s)<noscript>.*</noscript>", html)[0]


async def test_a_german_browser_gets_german(site, visit, models):
    """Texts, numbers and dates; what is typed has a decimal comma, as in Germany, or a point."""
    desk = Desk(await visit(site.url, locale="de-DE"))
    await desk.is_in_state("ready")
    await expect(desk.page.locator("html")).to_have_attribute("lang", "de")
    await desk.button("Beispiel: malignant").click()
    shown = await desk.field("mean_radius").input_value()
    assert re.fullmatch(r"\d+,\d+", shown)
    await desk.field("mean_area").fill("1,5e3")
    await desk.field("mean_texture").fill("21.5")
    async with desk.page.expect_request("**/predict") as asked:
        await desk.button("Vorhersagen").click()
    record = (await asked.value).post_data_json
    assert record["mean_radius"] == float(shown.replace(",", "."))
    assert (record["mean_area"], record["mean_texture"]) == (1500, 21.5)
    answer = desk.page.get_by_role("region", name="Antwort", exact=True)
    await expect(answer.locator(".probability")).to_contain_text(re.compile(r"\d,\d\s%"))
    await expect(answer).to_contain_text("hochgestuft am")
    await expect(answer).to_contain_text("Trainingszeilen")
    text = await answer.inner_text()
    assert not re.search(r"\d\.\d", re.sub(r"\d+\.\d+\.\d{4}", "a date", text)), text


def test_a_lone_comma_or_point_is_read_as_the_language_writes_it_or_not_at_all(modules):
    """In German `1,001` is a decimal, and `1.001` may be a thousand and one."""
    read = {"1,001": "1.001", "1.001": '"1,001 oder 1001?"', "17.99": "17.99", "1.234,5": "1234.5"}
    calls = [f'm.literal("number", {json.dumps(text)})' for text in read]
    assert modules.compute("record.js", *calls, language="de") == list(read.values())
    features = '[{"name": "a", "type": "number"}, {"name": "b", "type": "number"}]'
    sheets = {"1.001,2": ["1,001", "2"], "1,001\t2,5": ["1,001", "2,5"], "1.001\t2": ["1,001 oder 1001?", "2"]}  # fmt: skip
    calls = [f"m.readSheet({json.dumps(text)}, {features}).rows[0]" for text in sheets]
    assert modules.compute("sheet.js", *calls, language="de") == list(sheets.values())
