"""The pages in Debian's Firefox: what they do in Chromium in detail, they do here, too."""

import pytest
import pytest_asyncio

from tests.page.firefox import running_firefox
from tests.page.kinds import KINDS
from tests.page.ops_states import versions

pytestmark = pytest.mark.whole

STATE = "document.body.dataset.state === arguments[0]"
HAS = "document.querySelector(arguments[0])?.innerText.includes(arguments[1])"
DROP = """
  const files = new DataTransfer();
  files.items.add(new File([arguments[0]], "ward.csv", { type: "text/csv" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector("main").dispatchEvent(new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
"""


@pytest_asyncio.fixture(loop_scope="session")
async def firefox(tmp_path):
    profile = tmp_path / "profile"
    profile.mkdir()
    async with running_firefox(profile) as running:
        yield running


async def test_the_page_answers_a_record_and_a_list_and_announces_a_swap(site, models, firefox):
    await firefox.open(site.url)
    await firefox.until(STATE, "ready")
    for feature, value in models.benign.items():
        await firefox.type(f'[name="{feature}"]', str(value))
    await firefox.click("#predict")
    await firefox.until(HAS, "#answer", "benign")
    await firefox.evaluate(DROP, models.csv(12))
    await firefox.until('document.querySelectorAll("#predictions tbody tr").length === 12')
    await site.promote(8, models.forest)
    await firefox.until(HAS, "#news", "8")
    assert await firefox.complaints(site.url) == []


async def test_a_record_of_texts_and_booleans_is_answered_and_so_is_a_list(site, firefox):
    """Some values are missing; then a version of three classes takes its place."""
    kind, other = KINDS["mixed columns"](), KINDS["three classes"]()
    await site.promote(int(kind.version), kind.content)
    await firefox.open(site.url)
    await firefox.until(STATE, "ready")
    for name, value in kind.record.items():
        if value is not None:
            await firefox.type(
                f'[name="{name}"]', str(value).lower() if value is True else str(value)
            )
    await firefox.click("#predict")
    await firefox.until(HAS, "#answer", "dear")
    await firefox.until(HAS, "#drivers", "missing")
    await firefox.click("#curves")
    await firefox.until('document.querySelectorAll(".turn:not(:empty)").length > 0')
    await firefox.evaluate(DROP, kind.csv())
    await firefox.until('document.querySelectorAll("#predictions tbody tr").length === 6')
    await site.promote(int(other.version), other.content)
    await firefox.until(HAS, "#answer", f"version {kind.version}")
    await firefox.until("document.querySelectorAll('#fields .entry').length === 4")
    for name, value in other.record.items():
        await firefox.type(f'[name="{name}"]', str(value))
    await firefox.click("#predict")
    await firefox.until(HAS, "#answer", "etosa")
    assert await firefox.complaints(site.url) == []


async def test_the_operators_page_shows_what_serves(site, models, firefox):
    """By events, and its pictures and commands."""
    site.live.source.lists = versions(12, 7)
    await firefox.open(f"{site.url}ops")
    await firefox.until(STATE, "ready")
    await firefox.until(HAS, "#verdicts", "Version 7 serves, as the registry asks")
    await site.live.client.post("/predict", json=models.benign)
    await site.promote(8, models.forest)
    await firefox.until(HAS, "#happened", "Version 8 serves in place of 7")
    await firefox.until('document.querySelectorAll(".spark-line").length > 0')
    await firefox.until(HAS, "#commands", "mlflow-hotswap rollback")
    await site.stop()
    await firefox.until(STATE, "offline")
    await site.start()
    await firefox.until(STATE, "ready")
    assert await firefox.complaints(site.url) == []


async def test_the_documentation_names_the_model(site, firefox):
    await firefox.open(f"{site.url}docs")
    await firefox.until(HAS, "header", "breast-cancer")
    await firefox.until('document.querySelectorAll(".opblock").length > 8')
    assert await firefox.complaints(site.url) == []


async def test_a_complaint_would_be_heard(site, firefox):
    """Here that of the policy, or else the tests above would prove nothing."""
    await firefox.open(f"{site.url}ops")
    await firefox.evaluate(
        "document.body.append(Object.assign(new Image(), { src: 'http://192.0.2.1/x' }));"
    )
    await firefox.until("performance.now() > 500")
    assert any("192.0.2.1" in each for each in await firefox.complaints(site.url))
