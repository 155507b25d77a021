"""The service at one address, as its operator sees it: versions come and go, and so may the service."""

import itertools
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from predictor.model_version import ModelVersion
from tests.predictor.live import Live
from tests.predictor.sockets import Listening, listening

NAME = "breast-cancer"


class Site:
    """A real service around a registry that says what a test wants. `settings` are the service's.

    After `stop` nobody is at the address until `start`, which begins a new service there, as a
    process that is started again: it knows nothing but what the registry says.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.live: Live
        self._folder = folder
        self._settings = {"model_uri": f"models:/{NAME}/Production", **settings}
        self._graphs: dict[str, tuple[bytes, str | None]] = {}
        self._says: ModelVersion | None = None
        self._address: Listening | None = None
        self._open = AsyncExitStack()
        self._starts = itertools.count()

    @property
    def url(self) -> str:
        assert self._address is not None
        return f"http://127.0.0.1:{self._address.port}/"

    @property
    def asked(self) -> list[str]:
        """The paths that came through ASGI since the last start."""
        assert self._address is not None
        return self._address.asked

    async def start(self) -> None:
        """Serve, on the same port as before."""
        self.live = Live(self._folder / f"start{next(self._starts)}", **self._settings)
        self.live.source.graphs = self._graphs
        await self.live.say(self._says)
        port = self._address.port if self._address else 0
        door = listening(self.live.app, self.live.service, port=port)
        self._address = await self._open.enter_async_context(door)

    async def stop(self) -> None:
        """Leave, as after SIGTERM: what is open is closed."""
        self.live.journal.close()
        await self._open.aclose()
        await self.live.reconciler.close()
        await self.live.client.aclose()

    async def promote(
        self, number: int, model: bytes, when: datetime | None = None, name: str = NAME
    ) -> None:
        """A version serves, once it is loaded; one whose file is no model does not.

        `when` is what its tag says, now unless told. `name` is that of the registered model.
        """
        self._graphs[str(number)] = (model, None)
        now = when or datetime.now(UTC)
        promoted = json.dumps({"to": "Production", "when": now.isoformat()})
        time = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
        tags = {f"hotswap.transition.{time}": promoted, "hotswap.stage_changed": f"{time} {number}"}
        source = f"mlflow-artifacts:/{number}"
        await self._say(
            ModelVersion(name, str(number), source, number, f"run{number}", number, tags)
        )

    async def demote(self) -> None:
        """No version may serve."""
        await self._say(None)

    async def registry(self, *, down: bool) -> None:
        """The registry cannot be reached, or can be again."""
        self.live.source.down = down
        await self.live.say(self._says)

    async def _say(self, aspired: ModelVersion | None) -> None:
        self._says = aspired
        if self._address:
            await self.live.say(aspired)
