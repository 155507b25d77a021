"""ShadowServer: in the process of the shadow, answers the workers: with its state, and with comparisons."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from predictor.errors import APPROVAL, InferenceTimeout
from predictor.events import Event
from predictor.log_events import SHADOW_INTERNAL
from predictor.model.servable import Servable
from predictor.model_version import ModelVersion
from predictor.reconcile.reconciler import Reconciler
from predictor.shadow.compare import Pair, why_not_comparable
from predictor.shadow.messages import (
    Compared,
    Decoder,
    FromShadow,
    NoServing,
    NotCompared,
    Ping,
    PollNow,
    Pong,
    Rows,
    Serving,
    State,
    StateName,
    ToShadow,
    encode,
)

_LOOK_SECONDS = 1.0
_MAX_REASON = 1000  # characters
_MAX_TIMEOUTS = 3  # in a row
_PAUSE_SECONDS = (30.0, 600.0)  # after so many timeouts: the first, and the longest


class ShadowServer:
    """Compares rows with the version that a reconciler keeps, one message at a time, in a thread."""

    def __init__(
        self,
        reconciler: Reconciler,
        poll_now: Callable[[], None],
        *,
        compute_started: Callable[[], None] = lambda: None,
    ) -> None:
        """`poll_now` polls the registry. `compute_started` is called in the thread that computes, first."""
        self._reconciler = reconciler
        self._poll_now = poll_now
        self._connections: set[_Connection] = set()
        self._queue: asyncio.Queue[tuple[_Connection, Rows]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "compare", initializer=compute_started)
        self._began: float | None = None
        self._timeouts = _Timeouts()

    def connection(self) -> asyncio.Protocol:
        """A new connection of a worker."""
        return _Connection(self)

    def observe(self, _: Event) -> None:
        """Something changed in the reconciler: tell the workers, once it is complete."""
        asyncio.get_running_loop().call_soon(self.tell)

    def tell(self) -> None:
        """Tell each worker its state, if it changed. One that has said nothing yet asks soon."""
        for each in self._connections:
            if each.knows_serving:
                each.tell(self._state(each.serving))

    async def run(self) -> None:
        """Compare until cancelled."""
        looking = asyncio.create_task(self._look())
        try:
            while True:
                connection, rows = await self._queue.get()
                connection.send(await self._compare(connection.serving_of(rows), rows))
        finally:
            looking.cancel()

    async def _look(self) -> None:
        """Also changes without an event: a pause that has ended, a load that began."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.tell()

    async def _compare(self, serving: Serving | None, rows: Rows) -> Compared | NotCompared:
        shadow = self._reconciler.serving
        if serving is None or shadow is None or self._state(serving).state != "comparing":
            return NotCompared(rows.number)
        compare = partial(Pair(serving, shadow).compare, rows, self._begins)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, compare)
        except InferenceTimeout:
            self._timeouts.add(shadow.model_version)
            return NotCompared(rows.number, failed=True)
        except Exception:  # noqa: BLE001  a bug of ours must not end the comparison of other rows
            SHADOW_INTERNAL.log(exc_info=True)
            return NotCompared(rows.number, failed=True)
        finally:
            self._began = None
        self._timeouts.none()
        return found

    def _begins(self) -> None:
        self._began = time.monotonic()

    def _received(self, connection: "_Connection", message: ToShadow) -> None:
        match message:
            case Rows():
                self._queue.put_nowait((connection, message))
            case Ping():
                busy = time.monotonic() - self._began if self._began is not None else 0.0
                connection.send(Pong(busy))
            case PollNow():
                self._poll_now()
            case Serving():
                connection.serving = message
                connection.tell(self._state(message), again=True)
            case NoServing():
                connection.serving = None
                connection.tell(self._state(None), again=True)

    def _state(self, serving: Serving | None) -> State:
        servable = self._reconciler.serving
        if servable is None or self._reconciler.failure is not None:
            return self._without_version()
        version, digest = _identity(servable)
        name, reason = self._comparison(serving, servable)
        compared = (serving.version, serving.digest) if serving and not reason else None
        run_id = servable.model_version.run_id
        return State(name, reason, version, digest, run_id, compared)

    def _comparison(
        self, serving: Serving | None, shadow: Servable
    ) -> tuple[StateName, str | None]:
        """Whether two versions are compared, and why not."""
        if serving is None:
            return "waiting", "no version answers requests"
        identity = (shadow.model_version.name, *_identity(shadow))
        if (serving.model_name, serving.version, serving.digest) == identity:
            return "waiting", "it is the version that answers requests"
        fault = why_not_comparable(serving, shadow) or self._timeouts.reason(shadow.model_version)
        return ("failed", fault[:_MAX_REASON]) if fault else ("comparing", None)

    def _without_version(self) -> State:
        """The registry names no version that the shadow has; a failed one may replace another."""
        failure = self._reconciler.failure
        if failure is None:
            return State("waiting", self._why_none())
        if failure.stage == APPROVAL:
            return State("waiting", f"{failure.version} waits: {failure.reason}"[:_MAX_REASON])
        reason = f"{failure.version} could not be loaded ({failure.stage}): {failure.reason}"
        return State("failed", reason[:_MAX_REASON])

    def _why_none(self) -> str:
        status, loading = self._reconciler.registry_status, self._reconciler.loading
        if loading is not None:
            return f"{loading} is being loaded"
        if status.fault is not None:
            return status.fault[:_MAX_REASON]
        if status.answered_at is None:
            return "the registry has not been polled yet"
        return (status.no_version_reason or "the registry names no version")[:_MAX_REASON]


class _Timeouts:
    """After a few computations in a row that were stopped at their time limit, the version pauses."""

    def __init__(self) -> None:
        self._version: ModelVersion | None = None
        self._in_a_row = self._pauses = 0
        self._until = 0.0

    def add(self, version: ModelVersion) -> None:
        """A computation of this version was stopped."""
        if version != self._version:
            self._version, self._in_a_row, self._pauses = version, 0, 0
        self._in_a_row += 1
        if self._in_a_row >= _MAX_TIMEOUTS:
            first, longest = _PAUSE_SECONDS
            self._until = time.monotonic() + min(longest, first * 2 ** min(self._pauses, 16))
            self._pauses, self._in_a_row = self._pauses + 1, 0

    def none(self) -> None:
        """A computation ended by itself."""
        self._in_a_row = 0

    def reason(self, version: ModelVersion) -> str | None:
        """Why this version pauses; None if it does not."""
        if version != self._version or time.monotonic() >= self._until:
            return None
        return (
            f"{_MAX_TIMEOUTS} computations in a row took longer than PREDICTOR_INFERENCE_SECONDS; "
            "it is tried again later"
        )


class _Connection(asyncio.Protocol):
    """One worker."""

    def __init__(self, server: ShadowServer) -> None:
        self._server = server
        self._decoder = Decoder(ToShadow)
        self._transport: asyncio.WriteTransport | None = None
        self._told: State | None = None
        self._serving: dict[int, Serving | None] = {}
        self.serving: Serving | None = None

    @property
    def knows_serving(self) -> bool:
        """Whether the worker has said which version answers requests, or that none does."""
        return self._told is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._server._connections.add(self)  # noqa: SLF001  of the same module

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._server._connections.discard(self)  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            if isinstance(message, Rows):
                # Rows are of the version that was serving when they arrived.
                self._serving[message.number] = self.serving
            self._server._received(self, message)  # noqa: SLF001

    def serving_of(self, rows: Rows) -> Serving | None:
        """The version that answered these rows, once."""
        return self._serving.pop(rows.number, None)

    def tell(self, state: State, *, again: bool = False) -> None:
        """Send the state, if it changed; or in any case."""
        if again or state != self._told:
            self._told = state
            self.send(state)

    def send(self, message: FromShadow) -> None:
        """Send a message, if the worker is still there."""
        if self._transport is not None:
            self._transport.write(encode(message))


def _identity(servable: Servable) -> tuple[str, str]:
    return servable.model_version.version, servable.artifact.onnx_sha256
