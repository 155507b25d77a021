"""One Chromium for all of the page's tests, a visitor for each, and a witness that nobody can forget."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.page.chromium import running_chromium
from tests.page.desk import Desk
from tests.page.models import Models, breast_cancer
from tests.page.site import Site
from tests.page.visitor import Visitor

HERE = Path(__file__).parent
# Waits end when what is waited for is there; a busy machine may take its time.
expect.set_options(timeout=15_000)

Visit = Callable[..., Awaitable[Visitor]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright's connection lives in one event loop, so all that use it do."""
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    """Opens an address in a tab of its own. In none of them may anything have gone wrong at the end."""
    visitors: list[tuple[str, Visitor]] = []

    async def arrive(url: str, **context: Any) -> Visitor:
        visitor = await Visitor.arrive(chromium, **context)
        visitors.append((url, visitor))
        await visitor.page.goto(url)
        return visitor

    yield arrive
    for url, visitor in visitors:
        await visitor.context.close()
        assert visitor.witness.complaints == []
        assert visitor.witness.hosts == {url.split("/")[2]}


@pytest.fixture(scope="session")
def models() -> Models:
    return breast_cancer()


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path, models: Models) -> AsyncIterator[Site]:
    """Version 7, a logistic regression, serves."""
    made = Site(tmp_path)
    await made.promote(7, models.logistic)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(site: Site, visit: Visit) -> Desk:
    """The page, with the form of version 7."""
    found = Desk(await visit(site.url))
    await found.is_in_state("ready")
    return found
