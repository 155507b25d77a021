"""What a large version took is given back once a small one serves."""

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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.whole
async def test_memory_is_given_back_after_a_swap(tmp_path):
    """The C library alone would keep most of it."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        pytest.skip("a C library that keeps nothing")
    live = Live(tmp_path)
    large = forest(200_000)
    await live.serve(1, regressor())
    gc.collect()
    library.malloc_trim(0)  # else the large version takes memory that making its graph has left
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
