"""Debian's Chromium, driven by Playwright: what a person's browser does with the page."""

import contextlib
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright

from tests.required import program

# Nothing that Chromium does of its own accord: it asks nobody but the page's service.
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--font-render-hinting=none",
)  # fmt: skip


@contextlib.asynccontextmanager
async def running_chromium(*flags: str) -> AsyncIterator[Browser]:
    """A Chromium without a window, for many tests: each opens a context of its own in it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"), args=[*_FLAGS, *flags]
        )
        try:
            yield browser
        finally:
            await browser.close()
