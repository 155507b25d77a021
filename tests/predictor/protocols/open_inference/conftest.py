"""A service that speaks the protocol, with a version of our own in it."""

import pytest

from tests.predictor.graphs import OURS
from tests.predictor.live import Live


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path, max_body_bytes=300_000)
    await made.serve(7, OURS)
    yield made
    await made.client.aclose()
    await made.reconciler.close()
