"""The operators' page in a real browser: what it shows in every state, at every width, and that it changes nothing."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect

from predictor.keys import line_of
from predictor.model_version import Listed, Listing, ModelVersion
from tests.page.models import IMAGE, SCRIPT
from tests.page.ops_states import Board, four_workers, ops_states, versions, waiting
from tests.page.site import NAME, Site
from tests.page.test_accessibility import OF_WCAG, faults

pytestmark = pytest.mark.whole

WIDTHS = (360, 768, 1024, 1440)
SHOTS = os.environ.get("OPS_SHOTS")
RTL = "\u202egnorw"


async def board_of(visit, site, **context):
    return Board((await visit(f"{site.url}ops", **context)).page)


async def overflow(page):
    """By how many pixels the page is wider than the window."""
    return await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_state_fits_every_width_and_axe_finds_nothing(site, visit, models, scheme):
    board = await board_of(visit, site, color_scheme=scheme, reduced_motion="reduce")
    found, wide = {}, {}
    async for state in ops_states(site, board, models):
        for width in WIDTHS:
            await board.page.set_viewport_size({"width": width, "height": 900})
            if said := await faults(board.page, "ops", OF_WCAG):
                found[state, width] = said
            if pixels := await overflow(board.page):
                wide[state, width] = pixels
            if SHOTS:
                path = Path(SHOTS) / f"{state}-{scheme}-{width}.png"
                await board.page.screenshot(path=path, full_page=True)
    assert (found, wide) == ({}, {})


async def test_a_swap_is_shown_with_its_reason_and_without_a_reload(site, visit, models):
    """Also what happened before the page was opened."""
    await site.promote(8, models.forest)
    board = await board_of(visit, site)
    happened = board.page.get_by_role("region", name="What happened")
    await expect(happened).to_contain_text("Version 8 serves in place of 7: promoted")
    await site.promote(7, models.logistic)
    await expect(happened).to_contain_text("Version 7 serves in place of 8: rolled back")
    await expect(board.verdicts).to_have_text("Version 7 serves, as the registry asks")
    await expect(board.page.locator(".pane").first).to_contain_text("Promoted")
    assert await board.page.locator(".happened li").count() == 6


async def test_commands_can_be_copied_and_nothing_else_is_done(site, visit):
    """The version is chosen from a list, by keyboard; no request changes anything."""
    site.live.source.lists = versions(12, 7)
    visitor = await visit(f"{site.url}ops")
    await visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    methods = []
    visitor.page.on("request", lambda request: methods.append(request.method))
    choice = visitor.page.get_by_label("Version to promote")
    await expect(choice).to_have_value("11")
    await choice.focus()
    await visitor.page.keyboard.press("ArrowDown")
    promote = visitor.page.get_by_role("button", name="Copy the command: Promote version 10")
    await promote.press("Enter")
    await expect(promote).to_have_text("Copied")
    copied = await visitor.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == f"mlflow-hotswap promote 10 --to Production --model={NAME}"
    await visitor.page.get_by_label("Reason, for the history").fill("it's worse")
    await visitor.page.get_by_role(
        "button", name="Copy the command: Roll back to version 5"
    ).click()
    copied = await visitor.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == rf"mlflow-hotswap rollback --model={NAME} '--reason=it'\''s worse'"
    assert set(methods) <= {"GET"}


async def test_a_version_that_will_be_refused_is_not_chosen_and_says_why(site, visit):
    """It can be chosen all the same. What somebody has chosen stays chosen."""
    site.live.source.lists = versions(12, 7)
    board = await board_of(visit, site)
    choice, note = (
        board.page.get_by_label("Version to promote"),
        board.page.locator("#choice-note"),
    )
    await expect(choice).to_have_value("11")
    await expect(note).to_contain_text("Nothing in the tags of version 11 speaks against it.")
    await choice.select_option("12")
    await expect(note).to_have_text("Against version 12: no proof that ONNX predicts the same.")
    await site.demote()
    await board.is_in_state("none")
    await expect(choice).to_have_value("12")
    await expect(board.region("Commands to copy")).not_to_contain_text("Roll back")
    await choice.select_option("11")
    await expect(note).to_contain_text("a promotion checks no metrics")


async def test_on_a_phone_the_commands_come_before_the_events(site, visit):
    board = await board_of(visit, site, viewport={"width": 360, "height": 800})
    await board.is_in_state("ready")
    names = ("Commands to copy", "What happened", "Versions in the registry")
    tops = [(await board.region(name).bounding_box())["y"] for name in names]
    assert tops == sorted(tops)


async def test_a_german_browser_gets_german(site, visit):
    site.live.source.lists = versions(12, 7)
    board = await board_of(visit, site, locale="de-DE")
    await board.is_in_state("ready")
    await expect(board.page.locator("html")).to_have_attribute("lang", "de")
    await expect(board.verdicts).to_have_text("Version 7 läuft, wie die Registry es verlangt")
    await expect(board.region("Was geschah")).to_contain_text("Version 7 läuft: hochgestuft")
    await expect(board.region("Befehle zum Kopieren")).to_contain_text("Auf Version 5 zurücksetzen")
    text = await board.page.locator("body").inner_text()
    assert not re.search(r"\b(serves|ago|answered|version \d)\b", text), text
    assert not [each for each in site.asked if "english" in each]
    await site.demote()
    await expect(board.verdicts).to_contain_text("Keine Version läuft")


@pytest.mark.parametrize("pointer", ["stage", "@production"])
async def test_the_trainers_last_move_is_said_with_its_limit(tmp_path, models, visit, pointer):
    """By a stage, MLflow has the time of a later change; by an alias, it has none, and the page says so."""
    uri = f"models:/{NAME}{'/Production' if pointer == 'stage' else pointer}"
    site = Site(tmp_path, model_uri=uri)
    await site.promote(7, models.logistic)
    await site.start()
    when = datetime.now(UTC) - timedelta(hours=3)
    move = {"to": "Production", "when": when.isoformat(), "who": "ann", "pointer": pointer}
    serves = site.live.reconciler.serving.model_version
    changed = int((when + timedelta(hours=2)).timestamp() * 1000)
    tags = {"hotswap.transition.1": json.dumps(move)}
    await site.live.say(replace(serves, tags=tags, updated_ms=changed))
    board = await board_of(visit, site)
    pane = board.page.locator(".pane").first
    await expect(pane).to_contain_text("Promoted 3 hr ago by ann")
    later = "It may have been moved since: MLflow changed its stage or description 1 hr ago."
    never = "This is the trainer's last move of it. MLflow keeps no time of an alias."
    await expect(pane).to_contain_text(later if pointer == "stage" else never)
    await site.stop()


async def test_a_version_that_was_moved_in_mlflow_says_so_in_the_list(site, visit):
    site.live.source.lists = versions(12, 7)
    board = await board_of(visit, site)
    row = board.region("Versions").get_by_role("row")
    await expect(row.filter(has_text="serves")).not_to_contain_text("changed in MLflow")
    await expect(row.nth(8)).to_contain_text("changed in MLflow")


async def test_approvals_are_stated_as_the_service_counts_them(site, visit, models):
    """One of two, by whom, who can still approve, and what was withdrawn."""
    site.live.source.lists = versions(12, 7)
    board = await board_of(visit, site)
    await board.alter("model", waiting)
    await expect(board.verdicts).to_contain_text("Version 8 waits for approvals: 1 of 2 (alice)")
    await expect(board.verdicts).to_contain_text("Can still approve: bob, carol.")
    await expect(board.verdicts).to_contain_text("bob: withdrawn at 2026-11-29 08:15 UTC.")
    await expect(board.verdicts).to_contain_text("Version 7 keeps serving.")
    eight = board.region("Versions").get_by_role("row").filter(has_text="asked for")
    await expect(eight).to_contain_text("1 of 2alice")


async def test_workers_and_replicas_are_stated_as_they_are(site, visit):
    """One line each: what it serves, what it could not load, and which of them differ."""
    board = await board_of(visit, site)
    await board.alter("ops/overview", four_workers)
    workers = board.region("Workers").get_by_role("row")
    await expect(workers.nth(1)).to_have_attribute("data-kind", "plain")
    await expect(workers.nth(2)).to_contain_text("could not load 8")
    await expect(workers.nth(2)).to_have_attribute("data-kind", "warning")
    await expect(workers.nth(3)).to_contain_text("accepts no requests")
    replicas = board.region("Replicas").get_by_role("row")
    await expect(replicas.nth(1)).to_contain_text("ward-7d9f:8000/077")
    await expect(replicas.nth(1)).to_have_attribute("data-kind", "plain")
    await expect(replicas.nth(2)).to_contain_text("ward-8c1a:8000/057version 7, fetch: HTTP 503")
    await expect(board.verdicts).to_contain_text("1 of 4 workers accepts no requests")
    await expect(board.verdicts).to_contain_text("1 of 2 replicas serves another version")


async def test_of_thousands_of_versions_few_are_shown_until_all_are_wanted(site, visit):
    """An old champion is among the few."""
    listing = versions(60, 2)
    site.live.source.lists = listing
    board = await board_of(visit, site)
    rows = board.region("Versions").get_by_role("row")
    await expect(rows).to_have_count(
        1 + 8 + 2
    )  # the head, the newest, the champion and what serves
    await expect(rows.last).to_contain_text("2")
    await board.page.get_by_role("button", name="Show all 60").click()
    await expect(rows).to_have_count(61)
    await board.page.get_by_role("button", name="Show fewer").click()
    await expect(rows).to_have_count(11)


async def test_after_a_restart_the_counters_begin_again(site, visit, models):
    """No rate is negative or of both processes, and the page recovers by itself."""
    board = await board_of(visit, site)
    for number in range(20):
        await site.live.client.post("/predict", json=models.record(number=number))
    await expect(board.page.locator(".tile").first.locator(".big")).not_to_have_text("—")
    await site.stop()
    await board.is_in_state("offline")
    await expect(board.verdicts).to_contain_text("The service does not answer")
    await site.start()
    await board.is_in_state("ready")
    await expect(board.page.locator(".tile").first.locator(".big")).to_have_text(
        re.compile(r"^(—|[\d.]+/s)$")
    )


async def test_it_asks_for_an_operations_key_and_keeps_it_nowhere(tmp_path, models, visit):
    """A key for predictions is not one."""
    files = {name: tmp_path / name for name in ("api_keys_file", "operations_keys_file")}
    files["api_keys_file"].write_text(line_of("frontend", "k3y"))
    files["operations_keys_file"].write_text(line_of("oncall", "other"))
    site = Site(tmp_path, **files)
    await site.promote(7, models.logistic)
    await site.start()
    visitor = await visit(f"{site.url}ops")
    board, access = Board(visitor.page), visitor.page.locator("#access")
    await board.is_in_state("locked")
    await expect(access).to_contain_text("needs an operations key")
    await expect(board.page.locator("#parts")).to_be_hidden()
    assert await faults(board.page, "ops", OF_WCAG) == []
    asked = len(site.asked)
    field = board.page.get_by_role("textbox", name="Operations key")
    await field.fill("k3y")
    await field.press("Enter")
    await expect(access).to_contain_text("This key is not an operations key.")
    assert len(site.asked) < asked + 8  # it waits for a key, and does not ask again and again
    await field.fill("other")
    await field.press("Enter")
    await board.is_in_state("ready")
    await expect(access).to_be_hidden()
    await expect(board.verdicts).to_contain_text("Version 7 serves")
    stored = "() => [localStorage.length, sessionStorage.length, document.cookie]"
    assert await board.page.evaluate(stored) == [0, 0, ""]
    assert "other" not in await board.page.content()
    assert not [each for each in visitor.witness.asked if "other" in each]
    await site.stop()


NAMES = {
    "a script": SCRIPT, "an image": IMAGE, "a property": "__proto__", "right to left": RTL,
    "a megabyte": "x" * 1_000_000, "quotes": "it's \"$(id)\" `id`; rm -rf",
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
async def test_names_that_mean_harm_are_text(tmp_path, models, visit, kind):
    """Of the model, of aliases, of people and their reasons; and the page stays as wide as its window."""
    name = NAMES[kind]
    site = Site(tmp_path, model_uri=f"models:/{name.replace('/', '').replace('@', '')}@production")
    await site.promote(7, models.logistic)
    await site.start()
    moved = (
        '{"to": "Production", "when": "2026-11-29T10:00:00Z", "pointer": "@production", "who": %s}'
    )
    tags = {"parity": name[:9000], "hotswap.transition.1": moved % '"<b>\u202ealice</b>"'}
    listed = ModelVersion("m", "7", "s", 1, "r", 1, tags)
    site.live.source.lists = Listing(
        [Listed(listed, "")], {name: "7"}, {"gate.__proto__": name}, more=False
    )
    board = await board_of(visit, site, viewport={"width": 360, "height": 800})
    await board.is_in_state("ready")
    await expect(board.region("Versions").get_by_role("row")).to_have_count(2)
    await expect(board.page.locator("#model-name")).not_to_have_text("mlflow-hotswap")
    assert await board.page.locator("img, #parts script, #parts b").count() == 0
    assert await overflow(board.page) == 0
    await site.stop()
