"""The predictor, and FastAPI by hand, among the peers."""

from collections.abc import Iterator
from functools import partial

import msgspec

from benchmarks import servers
from benchmarks.peers.contender import Contender, Entry
from benchmarks.servers import BY_HAND, PREDICTOR
from demo.processes import Child, start_predictor


def contenders(entry: Entry) -> Iterator[Contender]:
    """Both."""
    body, truth = msgspec.json.encode(entry.record), entry.published.truth
    start = partial(_predictor, entry)
    yield Contender(PREDICTOR, start, "/predict", body, truth.first)
    start = partial(_by_hand, entry)
    yield Contender(BY_HAND, start, "/predict", body, truth.first_unversioned)


def _predictor(entry: Entry, port: int) -> Child:
    folder = servers.predictor_folder(entry.context, entry.published)
    return start_predictor(folder, port, entry.published.settings)


def _by_hand(entry: Entry, port: int) -> Child:
    command = servers.reference_command("fastapi_by_hand", port)
    return entry.spawn(command, port, servers.by_hand_settings(entry.published))
