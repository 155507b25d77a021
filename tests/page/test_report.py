"""What is taken away from an answer: a printed page, its text, a file, and code that asks the same."""

import asyncio
import json
import re
import subprocess
import sys

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.node import Modules
from tests.required import program

pytestmark = pytest.mark.whole


async def answered(desk, models):
    """One value lies outside the training data; the explanation is there."""
    await desk.page.get_by_label("Reference").fill("P-4711")
    record = {**models.record(number=3), "texture_error": 5.1}
    async with desk.page.expect_response("**/predict") as response:
        await desk.ask(record)
    await expect(desk.answer.locator(".driver-list")).to_be_visible()
    return record, await response.value


async def copied(desk, button):
    await desk.visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await button.click()
    await expect(desk.page.locator("#report-tools")).to_contain_text("Copied.")
    return await desk.page.evaluate("navigator.clipboard.readText()")


async def test_the_text_has_everything(site, desk, models):
    record, response = await answered(desk, models)
    text = await copied(desk, desk.button("Copy as text"))
    servable = site.live.reconciler.serving
    answer = await response.json()
    for expected in (
        "Reference: P-4711", "Model: Breast", "version 7", servable.artifact.onnx_sha256,
        (await response.all_headers())["x-request-id"], "Outside the training data\nTexture error: 5.1, seen",
        "What drove this answer", "Decision support, not a diagnosis.", "gray levels", answer["prediction"],
    ):  # fmt: skip
        assert expected.replace("Breast", "breast-cancer") in text, expected
    assert re.search(r"Time: .* (UTC|GMT)", text)
    head = text.splitlines()[0]
    assert re.fullmatch(rf"{answer['prediction']} · .*%\smalignant", head), head
    for name, value in record.items():
        label = name.replace("_", " ").capitalize()
        assert f"{label}: {value}" in text


async def test_the_file_has_the_service_s_own_numbers(site, desk, models):
    record, response = await answered(desk, models)
    async with desk.page.expect_download() as download:
        await desk.button("Save as JSON").click()
    found = json.loads((await (await download.value).path()).read_text())
    assert found["record"] == record
    assert found["answer"] == await response.json()
    assert found["reference"] == "P-4711"
    assert found["digest"] == site.live.reconciler.serving.artifact.onnx_sha256
    assert found["request_id"] == (await response.all_headers())["x-request-id"]
    assert found["units"]["worst_texture"] == "gray levels"
    assert len(found["explanation"]["contributions"]) == 30
    assert found["time"].endswith("Z")
    assert "not a diagnosis" in found["caution"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
async def test_a_print_is_one_page_and_dark_on_light(site, visit, models, scheme, locale):
    desk = Desk(await visit(site.url, color_scheme=scheme, locale=locale))
    await desk.is_in_state("ready")
    await desk.page.locator("#reference").fill("P-4711")
    await desk.page.locator("#examples button").first.click()
    await desk.page.locator("#predict").click()
    await expect(desk.page.locator(".driver-list")).to_be_visible()
    pdf = await desk.page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert await desk.page.locator("body").get_attribute("data-print") is None
    await desk.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await desk.page.emulate_media(media="print", color_scheme=scheme)
    paper = desk.page.locator("#paper")
    await expect(paper).to_contain_text("P-4711")
    assert await paper.locator("dt").count() > 40
    await expect(desk.page.locator("main")).to_be_hidden()
    colours = "[getComputedStyle(document.querySelector('.paper')).color, getComputedStyle(document.body).backgroundColor]"
    assert await desk.page.evaluate(colours) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


async def test_without_an_answer_there_is_nothing_to_take(desk, models):
    await expect(desk.page.locator("#report-tools")).to_be_hidden()
    await answered(desk, models)
    await expect(desk.button("Print")).to_be_visible()
    await desk.button("Clear").click()
    await expect(desk.page.locator("#report-tools")).to_be_hidden()


async def test_the_code_asks_for_the_same_record(desk, models):
    """Each of the three is run, and gives the answer of the page."""
    record, _ = await answered(desk, models)
    await desk.page.get_by_text("Use from code").click()
    wanted = await desk.page.evaluate(
        "body => fetch('predict', {method: 'POST', body, headers: {'Content-Type': 'application/json'}}).then(r => r.json())",
        json.dumps(record),
    )
    commands = {
        "curl": ["bash", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": [program("node"), "--input-type=module", "--eval"],
    }
    for language, command in commands.items():
        code = await copied(desk, desk.button(f"Copy: {language}"))
        shown = await run([*command, code])
        assert str(wanted["prediction"]) in shown, language
        assert str(wanted["model_version"]) in shown


async def run(command):
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_quotes_what_a_record_may_contain(tmp_path):
    """And names the key where one is needed, but never the key itself."""
    record = json.dumps({"name": 'O\'Brien \\ "x" $(id) `id`', "a": 1})
    (found,) = Modules(tmp_path).compute(
        "code.js", f"m.codeOf({json.dumps(record)}, 'http://h/predict', true)"
    )
    body = found["Python"].split("record = ")[1].split("\n")[0]
    assert eval(body) == record  # noqa: S307
    shell = found["curl"].split("-d ")[1]
    done = subprocess.run(["bash", "-c", f"printf %s {shell}"], capture_output=True, check=True)
    assert done.stdout.decode() == record
    assert all("YOUR_KEY" in text for text in found.values())
