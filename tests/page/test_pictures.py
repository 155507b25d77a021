"""Screenshots of the main states, for people to look at: `make screenshots` writes them."""

import os
from pathlib import Path

import pytest

from tests.page.desk import Desk
from tests.page.states import states
from tests.page.visitor import DESKTOP, PHONE

FOLDER = os.environ.get("SCREENSHOTS")
MOST_BYTES = 150_000
LOOKS = {
    "light-desktop": ("light", DESKTOP),
    "dark-desktop": ("dark", DESKTOP),
    "light-phone": ("light", PHONE),
    "dark-phone": ("dark", PHONE),
}


@pytest.mark.skipif(not FOLDER, reason="writes files; `make screenshots` asks for it")
@pytest.mark.parametrize("look", LOOKS)
async def test_each_state_has_its_picture(site, visit, models, look):
    """Of a phone all that is scrolled to, of a desktop what its window shows, and no file is large."""
    scheme, device = LOOKS[look]
    desk = Desk(await visit(site.url, color_scheme=scheme, reduced_motion="reduce", **device))
    folder = Path(FOLDER)
    async for state in states(site, desk, models):
        file = folder / f"{state}-{look}.png"
        await desk.page.screenshot(path=file, full_page=True, animations="disabled")
        assert file.stat().st_size < MOST_BYTES
