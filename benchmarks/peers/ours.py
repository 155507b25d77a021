"""The predictor over two of its protocols; FastAPI by hand and an empty application on uvicorn."""

from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from benchmarks import servers
from benchmarks.peers.contender import Contender, Entry
from benchmarks.servers import BY_HAND, EMPTY, PREDICTOR, check_empty
from demo.processes import Child, start_predictor

PREDICTOR_V2 = f"{PREDICTOR}, /v2 JSON"
NAMES = {PREDICTOR: "this service, /predict", PREDICTOR_V2: "this service, /v2 JSON"}
"""Names of the predictor for a reader who does not know it."""


def contenders(entry: Entry) -> Iterator[Contender]:
    """Yield all four."""
    body, truth = msgspec.json.encode(entry.record), entry.published.truth
    start, infer = partial(_predictor, entry), entry.infer
    yield Contender(PREDICTOR, start, "/predict", body, truth.first)
    yield Contender(PREDICTOR_V2, start, infer.path, infer.body, infer.check)
    start = partial(_reference, entry, "fastapi_by_hand", servers.by_hand_settings(entry.published))
    yield Contender(BY_HAND, start, "/predict", body, truth.first_unversioned)
    start = partial(_reference, entry, "empty", {})
    yield Contender(EMPTY, start, "/predict", body, check_empty, reference=True)


def _predictor(entry: Entry, port: int) -> Child:
    folder = servers.predictor_folder(entry.context, entry.published)
    return start_predictor(folder, port, entry.published.settings)


def _reference(entry: Entry, module: str, settings: Mapping[str, str], port: int) -> Child:
    return entry.spawn(servers.reference_command(module, port), port, settings)
