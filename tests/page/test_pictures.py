"""Screenshots of the main states, for people to look at: `make screenshots` writes them."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.page.desk import Desk
from tests.page.ops_states import Board, ops_states
from tests.page.states import states
from tests.page.visitor import DESKTOP, PHONE

pytestmark = pytest.mark.whole

FOLDER = os.environ.get("SCREENSHOTS")
COLOURS = 128  # more than the page has, its letters' soft edges included
MAX_BYTES = 300_000
LOOKS = {
    "light-desktop": ("light", DESKTOP),
    "dark-phone": ("dark", PHONE),
}


@pytest.mark.skipif(not FOLDER, reason="writes files; `make screenshots` asks for it")
@pytest.mark.parametrize("look", LOOKS)
async def test_each_state_has_its_picture(site, visit, models, look):
    """Of a desktop all that can be scrolled to, of a phone its screen; no file is large."""
    scheme, device = LOOKS[look]
    desk = Desk(await visit(site.url, color_scheme=scheme, reduced_motion="reduce", **device))
    async for state in states(site, desk, models):
        if device == PHONE and state in {"answer", "moved", "swapped"}:
            await desk.answer.evaluate("answer => answer.scrollIntoView()")
        await save(desk.page, f"{state}-{look}.png", whole=device == DESKTOP)


@pytest.mark.skipif(not FOLDER, reason="writes files; `make screenshots` asks for it")
@pytest.mark.parametrize("look", LOOKS)
async def test_each_state_of_the_operators_page_has_its_picture(site, visit, models, look):
    scheme, device = LOOKS[look]
    visitor = await visit(f"{site.url}ops", color_scheme=scheme, reduced_motion="reduce", **device)
    async for state in ops_states(site, Board(visitor.page), models):
        await save(visitor.page, f"ops-{state}-{look}.png", whole=device == DESKTOP)


async def save(page, name, *, whole):
    """The page, or its part in the window, as a small file."""
    taken = await page.screenshot(full_page=whole, animations="disabled")
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    file = Path(FOLDER) / name
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < MAX_BYTES
