"""Screenshots of the main states, for people to look at: `make screenshots` writes them."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.page.desk import Desk
from tests.page.states import states
from tests.page.visitor import DESKTOP, PHONE

pytestmark = pytest.mark.whole

FOLDER = os.environ.get("SCREENSHOTS")
COLOURS = 128  # more than the page has, its letters' soft edges included
MAX_BYTES = 150_000
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
        taken = await desk.page.screenshot(full_page=device == DESKTOP, animations="disabled")
        file = Path(FOLDER) / f"{state}-{look}.png"
        few = (
            Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        )
        few.save(file, optimize=True)
        assert file.stat().st_size < MAX_BYTES
