"""Someone with a browser and one tab, and a witness of all that the tab does."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True
}  # fmt: skip
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
_MILLISECONDS = 30_000  # so wide that only a hang reaches it
# Chromium's word for every answer that is not 2xx, and for a service that is away.
_NETWORK = "Failed to load resource:"


@dataclass
class Witness:
    """What the tab asked for, and what went wrong in it."""

    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> set[str]:
        """The hosts that were asked for anything."""
        inside = {"data", "blob"}
        return {parts.netloc for parts in map(urlsplit, self.asked) if parts.scheme not in inside}

    def watch(self, page: Page) -> None:
        """Hear everything that this tab says from now on."""
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        network = message.text.startswith(_NETWORK)
        if network and "/web/" not in message.location["url"]:
            return  # the test knows what it made the service answer
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location['url']}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()


@dataclass(frozen=True)
class Visitor:
    """A tab of its own: nothing is shared with another visitor."""

    context: BrowserContext
    page: Page
    witness: Witness

    @classmethod
    async def arrive(cls, browser: Browser, **context: Any) -> "Visitor":
        """Open a tab; `context` is what Playwright's `new_context` takes."""
        opened = await browser.new_context(**{**DESKTOP, **context})
        opened.set_default_timeout(_MILLISECONDS)
        witness = Witness()
        page = await opened.new_page()
        witness.watch(page)
        return cls(opened, page, witness)
