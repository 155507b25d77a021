"""What a large version took is given back once another one serves."""

import asyncio
import ctypes
import gc
import sys
from pathlib import Path

import pytest

from tests.end_to_end.parts import wait_until
from tests.predictor.graphs import forest, regressor
from tests.predictor.live import Live

MB = 1 << 20


def resident():
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def trim():
    """Free what making the graphs has left: else a large version takes that memory. Skips without it."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        pytest.skip("a C library that keeps nothing")
    gc.collect()
    library.malloc_trim(0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.whole
async def test_memory_is_given_back_after_a_swap(tmp_path):
    """The C library alone would keep most of it."""
    live = Live(tmp_path)
    large = forest(300_000)
    await live.serve(1, regressor())
    trim()
    before = resident()
    await live.serve(2, large)
    assert live.reconciler.serving.model_version.version == "2"
    live.source.graphs.clear()
    taken = resident() - before
    await live.serve(3, regressor())
    live.source.verified = None  # the files of what served last
    gc.collect()
    wait_until(lambda: resident() < before + 100 * MB, "the memory is given back")
    print(
        f"\n{len(large) / MB:.0f} MB in a file: {taken / MB:.0f} MB, then {(resident() - before) / MB:.0f} MB"
    )
    assert taken > 150 * MB
    await live.reconciler.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.whole
async def test_swaps_between_large_versions_take_no_more_memory(tmp_path):
    """Once the previous version is freed, there is at most a tenth more than before the swaps."""
    live = Live(tmp_path)
    graphs = [forest(trees) for trees in (200_000, 199_000)]
    await live.serve(1, graphs[0])
    await asyncio.sleep(2)  # the memory of the load is given back after a second
    trim()
    before = resident()
    for number in (2, 3, 4):
        await live.serve(number, graphs[(number - 1) % 2])
        assert live.reconciler.serving.model_version.version == str(number)
    gc.collect()
    wait_until(lambda: resident() < 1.1 * before, "the previous versions are freed")
    await live.reconciler.close()
