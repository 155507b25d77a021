"""Other people's clients, as they install: each is a script that the clients' own Python runs."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.required import environment


@dataclass
class Script:
    """A script that runs: it prints a JSON document a line, and may wait for a line."""

    process: asyncio.subprocess.Process

    async def said(self) -> Any:
        """The next document that it prints."""
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        if not line:
            pytest.fail((await self.process.stderr.read()).decode())
        return json.loads(line)

    def go_on(self) -> None:
        self.process.stdin.write(b"\n")


@pytest.fixture(scope="session")
def clients_python() -> str:
    """The Python of the clients' environment."""
    return environment("clients")


@pytest.fixture
async def script(clients_python):
    """Starts a script of this folder, with these arguments."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str, *arguments: str) -> Script:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                clients_python, Path(__file__).with_name(name), *arguments,
                stdin=pipe, stdout=pipe, stderr=pipe,
            )  # fmt: skip

            async def end() -> None:
                if process.returncode is None:
                    process.kill()
                await process.wait()

            stack.push_async_callback(end)
            return Script(process)

        yield start
