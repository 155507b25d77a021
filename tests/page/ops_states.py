"""The main states of the operators' page, one after the other, as a service brings them about."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import Locator, Page, Route, expect

from predictor.model_version import Listed, Listing, ModelVersion
from tests.page.models import Models
from tests.page.site import NAME, Site

Edit = Callable[[dict[str, Any]], None]


class Board:
    """One operator's page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.verdicts = page.locator("#verdicts")
        self._edits: dict[str, Edit] = {}

    async def is_in_state(self, state: str) -> None:
        await expect(self.page.locator("body")).to_have_attribute("data-state", state)

    def region(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    async def alter(self, path: str, edit: Edit) -> None:
        """From now on the service says this too, as one with more processes or approvers would."""
        self._edits[path] = edit
        await self.page.route(f"**/{path}", self._altered)

    async def as_it_is(self) -> None:
        await self.page.unroute_all(behavior="wait")
        self._edits.clear()

    async def _altered(self, route: Route) -> None:
        response = await route.fetch()
        body = await response.json()
        for path, edit in self._edits.items():
            if route.request.url.endswith(path):
                edit(body)
        await route.fulfill(response=response, json=body)


def versions(newest: int, champion: int) -> Listing:
    """The versions of a registry: the champion, and below it in Production one that was moved again in MLflow.

    The newest one has no proof of its ONNX.
    """
    when = datetime.now(UTC) - timedelta(hours=3)
    promoted = {
        "to": "Production", "when": when.isoformat(), "who": "alice@ward", "pointer": "stage",
        "why": "better calibrated on the newer rows",
        "checks": ["parity passed", "test_roc_auc 0.997, champion 0.995, tolerance 0.01"],
    }  # fmt: skip

    def version(number: int) -> Listed:
        tags = {"dataset_digest": "d1"} | ({"parity": "passed"} if number < newest else {})
        days = timedelta(days=newest - number + 1)
        made = int((datetime.now(UTC) - days).timestamp() * 1000)
        if number in (champion, champion - 2):
            tags["hotswap.transition.1"] = json.dumps(promoted)
        if number == champion:
            tags["hotswap.stage_changed"] = f"{when:%Y%m%dT%H%M%S%fZ} {made}"
        later = int((when + timedelta(hours=1)).timestamp() * 1000)
        changed = later if number == champion - 2 else made
        stage = "Production" if number in (champion, champion - 2) else "None"
        return Listed(
            ModelVersion(NAME, str(number), "source", made, f"run{number}", changed, tags), stage
        )

    return Listing(
        [version(number) for number in range(newest, 0, -1)],
        {"challenger": str(newest)},
        {"gate.test_roc_auc": "0.01"},
        more=True,
    )


def waiting(body: dict[str, Any]) -> None:
    """Version 8 has one of two approvals."""
    known = {"model_name": NAME, "model_version": "8", "run_id": "run8"}
    standing = {
        **known, "approved_by": ["alice"], "rejected": ["bob: withdrawn at 2026-11-29 08:15 UTC"],
        "missing": ["bob", "carol"], "sufficient": False, "expires_at": None,
    }  # fmt: skip
    body["desired"] = known
    body["approvals"] = {"required": 2, "desired": standing, "serving": None}


def four_workers(body: dict[str, Any]) -> None:
    """One is behind, one is down, and there are replicas on other machines."""
    (first,) = body["workers"]
    behind = {**first, "worker": 1, "pid": 4712, "desired": "8", "failed": "8"}
    down = {**first, "worker": 2, "pid": None, "model_version": None, "serving_since": None}
    body["workers"] = [first, behind, down, {**first, "worker": 3, "pid": 4714}]
    replica = {"serves": "7", "desired": "7", "fault": None, "written_at": body["at"]}
    body["replicas"] = {
        "read_at": body["at"], "fault": None, "more": False,
        "replicas": [
            {**replica, "replica": "ward-7d9f:8000/0"},
            {**replica, "replica": "ward-8c1a:8000/0", "serves": "5", "fault": "version 7, fetch: HTTP 503"},
        ],
    }  # fmt: skip


async def ops_states(site: Site, board: Board, models: Models) -> AsyncIterator[str]:
    """The name of each state, while the page shows it. Version 7 serves at the beginning."""
    source = site.live.source
    source.lists = versions(12, 7)
    await board.is_in_state("ready")
    for number in range(20):
        await site.live.client.post("/predict", json=models.record(number=number))
    await expect(board.region("Versions").get_by_role("row")).to_have_count(9)
    await expect(board.page.locator(".spark-line").first).to_be_attached()
    yield "serving"
    await site.promote(9, b"no model")
    await expect(board.verdicts).to_contain_text("Version 9 could not be loaded")
    await expect(board.verdicts).to_contain_text("Next try")
    yield "failed"
    await site.promote(7, models.logistic)
    await board.alter("model", waiting)
    await expect(board.verdicts).to_contain_text("waits for approvals: 1 of 2 (alice)")
    yield "waits"
    await board.as_it_is()
    await board.alter("ops/overview", four_workers)
    await expect(board.region("Workers").get_by_role("row")).to_have_count(5)
    await expect(board.region("Replicas").get_by_role("row")).to_have_count(3)
    yield "workers"
    await board.as_it_is()
    await site.registry(down=True)
    await expect(board.verdicts).to_contain_text("The registry does not answer")
    await expect(board.page.locator("#registered .notice")).to_be_visible()
    yield "registry-down"
    await site.registry(down=False)
    await site.demote()
    await board.is_in_state("none")
    await expect(board.verdicts).to_contain_text("No version serves")
    yield "none"
    await site.stop()
    await board.is_in_state("offline")
    yield "offline"
    await site.start()
