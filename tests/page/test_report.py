"""What is taken away from an answer: a printed page, its text, a file, and code that asks the same."""

import asyncio
import json
import math
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
        (await response.all_headers())["x-request-id"], "Outside the training data\nTexture error: 5.1 (training data: ",
        "What drove this answer", "Decision support, not a diagnosis.", "gray levels", answer["prediction"],
    ):  # fmt: skip
        assert expected.replace("Breast", "breast-cancer") in text, expected
    assert re.search(r"Time: .* (UTC|GMT)", text)
    head = text.splitlines()[0]
    assert re.fullmatch(rf"{answer['prediction']} · .*%\smalignant", head), head
    for name, value in record.items():
        label = name.replace("_", " ").capitalize()
        assert f"{label}: {value}" in text
    assert re.search(r"^Texture error: 5\.1\b.* \(outside\)$", text, re.MULTILINE)
    assert text.count("(outside)") == 1


async def test_the_file_has_the_service_s_own_numbers(site, desk, models):
    record, response = await answered(desk, models)
    async with desk.page.expect_download() as download:
        await desk.button("Save as JSON").click()
    name = (await download.value).suggested_filename
    assert re.fullmatch(r"breast-cancer-7-\d{4}-\d\d-\d\dT\d{4}-P-4711\.json", name), name
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


RECORD = {
    "model": {
        "features": [{"name": f"x{i}", "full": f"X {i}", "unit": "cm"} for i in range(10)],
        "purpose": {"values": "Values", "caution": "Take care."},
        "worth": {"positive": "yes", "stated": True, "point": None},
    },
    "typed": ["1"] * 10,
}
NUMBER = re.compile(r"[+\u2212]?\d[\d.]*")


def told(answer, explanation, **more):
    """What the page keeps of an answer, as JavaScript."""
    explanation = {
        "baseline": {"rows": 50, "value": explanation.pop("baseline")},
        "contributions": [
            {"feature": f"x{i}", "value": 1, "contribution": each}
            for i, each in enumerate(explanation.pop("contributions"))
        ],
        **explanation,
    }
    kept = {**RECORD, "answer": answer, "explanation": explanation, **more}
    return f'{{...{json.dumps(kept)}, when: new Date("2026-11-30T08:15:00")}}'


def amounts(lines):
    """The number of each line; a true minus is a minus."""
    return [float(NUMBER.search(value)[0].replace("\u2212", "-")) for _, value in lines]


@pytest.mark.parametrize(
    ("scale", "output", "prediction"),
    [
        ("log_odds", "yes", "yes"),
        ("log_odds", "no", "no"),
        ("probability", "yes", "yes"),
        ("probability", "no", "no"),
        ("value", "prediction", 1234.5),
    ],
)
def test_the_drivers_add_up_to_the_answer(tmp_path, scale, output, prediction):
    """Whatever the scale, and whichever class is explained: the baseline, eight, the others, their sum."""
    contributions = [0.3, -0.2, 0.1, 0.05, -0.04, 0.03, 0.02, 0.01, 0.009, -0.004]
    baseline = 0.4
    if scale == "value":
        contributions, baseline = [1000 * each for each in contributions], 400.0
    value = baseline + sum(contributions)
    shown = value if output != "no" else -value if scale == "log_odds" else 1 - value
    answer = {"prediction": prediction, "model_name": "m", "model_version": "7"}
    if scale != "value":
        yes = 1 / (1 + math.exp(-shown)) if scale == "log_odds" else shown
        answer |= {"probability": max(yes, 1 - yes), "probabilities": {"no": 1 - yes, "yes": yes}}
    explanation = {
        "scale": scale,
        "output": output,
        "value": value,
        "baseline": baseline,
        "contributions": contributions,
    }
    (report,) = Modules(tmp_path).compute("report.js", f"m.reportOf({told(answer, explanation)})")
    section = report["sections"][-1]
    lines = section["lines"]
    assert [name for name, _ in lines] == [
        "Baseline: mean of 50 training rows", *(f"X {i}" for i in range(8)), "The other 2 together", "Sum: this answer",
    ]  # fmt: skip
    assert section["about"].startswith("The lines add up to the answer, in ")
    assert ("yes" in section["about"]) == (scale != "value")
    found = amounts(lines)
    last = 100 if scale == "probability" else 1
    assert found[-1] == pytest.approx(last * shown, rel=1e-3)
    decimals = {NUMBER.search(value)[0].partition(".")[2] for _, value in lines}
    assert len({len(each) for each in decimals}) == 1, "as many decimals in each line"
    assert sum(found[:-1]) == pytest.approx(
        found[-1], abs=len(lines) * 0.5 * 10 ** -len(decimals.pop())
    )


@pytest.mark.parametrize(
    ("name", "reference", "expected"),
    [
        ("breast-cancer", "bed 3", "breast-cancer-7-2026-11-30T0815-bed-3"),
        ("breast-cancer", "", "breast-cancer-7-2026-11-30T0815"),
        ("main.wards.sepsis", "../../etc/passwd", "main-wards-sepsis-7-2026-11-30T0815-etc-passwd"),
        ("m", 'a<b>:"/\\|?*\n c.', "m-7-2026-11-30T0815-a-b-c"),
        ("m", "Fräulein Müller", "m-7-2026-11-30T0815-Fräulein-Müller"),
        ("m", "…", "m-7-2026-11-30T0815"),
        ("m", "9" * 300, f"m-7-2026-11-30T0815-{'9' * 40}"),
    ],
)
def test_a_file_is_named_after_its_answer(tmp_path, name, reference, expected):
    """Safe on every file system, whatever a model or a patient is called."""
    answer = {"model_name": name, "model_version": "7"}
    kept, tried = (
        told(answer, {"baseline": 0, "contributions": []}, reference=reference, of=of)
        for of in (None, {"answer": answer})
    )
    names = Modules(tmp_path).compute("report.js", f"m.fileName({kept})", f"m.fileName({tried})")
    assert names == [expected, f"{expected}-what-if"]
