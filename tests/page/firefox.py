"""Debian's Firefox, driven by its own Marionette protocol: Playwright needs a Firefox that it has patched.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from demo.processes import free_port
from tests.required import program

_SECONDS = 60  # so wide that only a hang reaches it
# Nothing that Firefox does of its own accord: it asks nobody but the page's service.
_PREFERENCES: dict[str, object] = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.contentblocking.report.hide_vpn_banner": True,
    "browser.region.network.url": "",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "",
}
_CONSOLE = """
  const found = [];
  for (const each of Services.console.getMessageArray()) {
    if (each instanceof Ci.nsIScriptError && each.sourceName.startsWith(arguments[0])) found.push(String(each));
  }
  return found;
"""


class Firefox:
    """One window. Scripts run in the page; `complaints` are what its console has of uncaught errors and of the policy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    async def open(self, url: str) -> None:
        """Open an address, and wait until it is loaded."""
        await self._command("WebDriver:Navigate", url=url)

    async def evaluate(self, script: str, *given: object) -> Any:
        """What a function's body returns in the page; `arguments` are those given."""
        return await self._command("WebDriver:ExecuteScript", script=script, args=list(given))

    async def until(self, script: str, *given: object) -> Any:
        """Wait until an expression is true in the page; return it."""
        found = None
        async with asyncio.timeout(_SECONDS):
            while not (found := await self.evaluate(f"return {script};", *given)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found

    async def type(self, selector: str, text: str) -> None:
        """Type into a field, key by key."""
        element = await self._find(selector)
        await self._command("WebDriver:ElementSendKeys", id=element, text=text)

    async def click(self, selector: str) -> None:
        await self._command("WebDriver:ElementClick", id=await self._find(selector))

    async def complaints(self, url: str) -> list[str]:
        """Errors and warnings of scripts and of the security policy, about files of this address."""
        await self._command("Marionette:SetContext", value="chrome")
        found: list[str] = await self.evaluate(_CONSOLE, url)
        await self._command("Marionette:SetContext", value="content")
        return found

    async def _find(self, selector: str) -> str:
        found = await self._command("WebDriver:FindElement", using="css selector", value=selector)
        (element,) = found.values()
        return str(element)

    async def _command(self, name: str, **parameters: object) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._writer.write(b"%d:%b" % (len(message), message))
        async with asyncio.timeout(_SECONDS):
            _, _, error, result = await read(self._reader)
        assert error is None, f"{name}: {error}"
        return result["value"] if isinstance(result, dict) and "value" in result else result


async def read(reader: asyncio.StreamReader) -> Any:
    """The next message: its length in bytes, a colon, JSON."""
    length = await reader.readuntil(b":")
    return json.loads(await reader.readexactly(int(length[:-1])))


@contextlib.asynccontextmanager
async def running_firefox(profile: Path) -> AsyncIterator[Firefox]:
    """A Firefox without a window; `profile` is an empty folder."""
    port = free_port()
    preferences = {**_PREFERENCES, "marionette.port": port}
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in preferences.items()]
    (profile / "user.js").write_text("".join(lines))
    process = await asyncio.create_subprocess_exec(
        program("firefox-esr"), "--headless", "--no-remote", "--marionette",
        "--remote-allow-system-access", "--profile", str(profile),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
        start_new_session=True,
    )  # fmt: skip
    try:
        reader, writer = await _connected(port, process)
        await read(reader)  # its greeting
        firefox = Firefox(reader, writer)
        await firefox._command("WebDriver:NewSession", capabilities={})
        yield firefox
        writer.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _connected(
    port: int, process: asyncio.subprocess.Process
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_SECONDS):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.1)
    raise AssertionError(f"Firefox ended with code {process.returncode}")
