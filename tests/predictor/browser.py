"""A real Chromium without a window, driven over its debugging pipe: what a person's browser does with a page."""

import asyncio
import contextlib
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from tests.required import program

_SECONDS = 60  # so wide that only a hang reaches it
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--remote-debugging-pipe",
)  # fmt: skip


class Page:
    """One tab. `asked` are the addresses that it asked, `complaints` what its console says is wrong."""

    def __init__(self, answers: asyncio.StreamReader, commands: Any) -> None:
        self._answers = answers
        self._commands = commands
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.asked: list[str] = []
        self.complaints: list[str] = []

    @property
    def hosts(self) -> set[str]:
        """The hosts that were asked for anything."""
        return {parts.netloc for parts in map(urlsplit, self.asked) if parts.scheme != "data"}

    async def hear(self) -> None:
        """Take what Chromium says, for as long as it runs."""
        while True:
            said = json.loads((await self._answers.readuntil(b"\0"))[:-1])
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            elif said["method"] == "Log.entryAdded":
                entry = said["params"]["entry"]
                self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")

    async def open(self, url: str) -> None:
        """Go to an address, as a person with a new tab."""
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Network", "Log", "Page"):
            await self._call(f"{domain}.enable")
        await self._call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page; a promise is awaited."""
        done = await self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true in the page; returns what it is then."""
        async with asyncio.timeout(_SECONDS):
            while not (found := await self.value(expression)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found

    async def click(self, selector: str) -> None:
        """Click an element, once it is there."""
        await self.until(_on(selector, "click"))

    async def type(self, selector: str, text: str) -> None:
        """Type into a field, once it is there."""
        await self.until(_on(selector, "focus"))
        await self._call("Input.insertText", text=text)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self._session} if self._session else {}
        said = {"id": number, "method": method, "params": params, **session}
        self._commands.write(json.dumps(said).encode() + b"\0")
        answer = await asyncio.wait_for(future, _SECONDS)
        assert "error" not in answer, answer
        return dict(answer["result"])


def _on(selector: str, act: str) -> str:
    return f"((found) => found && (found.{act}(), true))(document.querySelector({json.dumps(selector)}))"


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A Chromium with a profile of its own, which ends with the test."""
    command = program("chromium")
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads commands from descriptor 3, and answers on 4.
        shell = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", shell, command, *_FLAGS, f"--user-data-dir={profile}",
            pass_fds=(their_in, their_out), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=1 << 24)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb")
        )
        with os.fdopen(our_out, "wb", buffering=0) as commands:
            page = Page(reader, commands)
            hearing = asyncio.create_task(page.hear())
            try:
                yield page
            finally:
                process.kill()
                await process.wait()
                hearing.cancel()
                with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
                    await hearing
