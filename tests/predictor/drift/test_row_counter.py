"""The rows of the serving version are counted after their responses, and rendered for Prometheus."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from predictor.drift.row_bins import SCORE
from predictor.drift.row_counter import RowCounter
from predictor.inference.compute import Computed
from predictor.metrics.counts import Counts
from predictor.workers import shared_memory
from tests.predictor.graphs import GOOD, METADATA, OURS, with_metadata
from tests.predictor.live import Live
from tests.predictor.parts import servable_of, until, version

RADIUS = {
    "name": "mean_radius", "edges": [0.5, 1.5], "counts": [3, 4, 2], "minimum": 0.25, "maximum": 2,
}  # fmt: skip
TEXTURE = {"name": "mean_texture", "edges": [], "counts": [9]}
SCORE_BINS = {
    "kind": "probability", "of": "malignant", "rows": "held_out",
    "bins": {"name": "score", "edges": [0.5], "counts": [4, 5], "minimum": 0.1, "maximum": 0.9},
}  # fmt: skip
BINS = {"features": [RADIUS, TEXTURE], "score": SCORE_BINS}
MODEL = with_metadata(OURS, training_bins=BINS)
ROWS = "predictor_feature_rows_total"
TRAINING = "predictor_feature_training_rows"
IN_RANGE = (ROWS, "0.5 to 1.5", "mean_radius", "1")


def computed(servable, radii):
    rows = [np.array([radius, 0], np.float32).tobytes() for radius in radii]
    return Computed([None] * len(rows), [], rows, servable.answer(rows))


def total(counts, name="mean_radius"):
    return sum(sum(v) for key, v in counts.read() if key[0] == "rows_by_bin" and key[-1] == name)


@pytest.fixture
def servable(tmp_path):
    return servable_of(tmp_path, MODEL)


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_rows_of_every_protocol_are_counted(tmp_path, fast_lane):
    """Refused ones are not; training rows are rendered beside them."""
    live = Live(tmp_path, fast_lane=fast_lane, drift_features=200)
    await live.serve(1, MODEL)
    assert live.samples()[IN_RANGE] == 0
    async with live.on_socket():
        assert (await live.client.post("/predict", json=GOOD)).status_code == 200
        many = {"instances": [GOOD, {**GOOD, "mean_radius": 9}]}
        assert (await live.client.post("/predict/batch", json=many)).status_code == 200
        assert (await live.client.post("/predict", json={})).status_code == 422
        await until(lambda: live.samples()[IN_RANGE] == 2)
    samples = live.samples()
    assert samples[ROWS, "(above)", "mean_radius", "1"] == 1
    assert samples[ROWS, "over 0.5", SCORE, "1"] + samples[ROWS, "(above)", SCORE, "1"] == 3
    assert samples[TRAINING, "0.5 to 1.5", "mean_radius", "1"] == 4
    assert samples[TRAINING, "over 0.5", SCORE, "1"] == 5
    await live.close()


async def test_only_the_serving_version_is_rendered(tmp_path):
    """Its counts go on when it serves again; a version without bins has none."""
    live = Live(tmp_path, drift_features=200)
    await live.serve(1, MODEL)
    await live.client.post("/predict", json=GOOD)
    await live.serve(2, MODEL)
    versions = {key[3] for key in live.samples() if key[0] == ROWS}
    assert versions == {"2"}
    await live.serve(3, OURS)
    assert not [key for key in live.samples() if key[0] in {ROWS, TRAINING}]
    assert (await live.client.post("/predict", json=GOOD)).status_code == 200
    await live.say(version(1))
    # It was counted when version 2 began to serve, although no second had passed.
    assert live.samples()[IN_RANGE] == 1
    await live.close()


@pytest.mark.whole
@pytest.mark.parametrize(("model", "features"), [(OURS, 200), (MODEL, None)])
def test_where_nothing_is_counted_nothing_of_it_is_imported(tmp_path, model, features):
    """And the batcher has nobody to tell."""
    (tmp_path / "graph").write_bytes(model)
    program = f"""
import asyncio, pathlib, sys
from tests.predictor.live import Live

async def main():
    folder = pathlib.Path({str(tmp_path)!r})
    live = Live(folder, **{{"drift_features": {features}}} if {features} is not None else {{}})
    await live.serve(1, (folder / "graph").read_bytes())
    assert (await live.client.post("/predict", json={GOOD!r})).status_code == 200
    print(live.service.reconciler.serving is not None, live.service.batcher._watchers)
    print([name for name in sys.modules if name.startswith("predictor.drift")])
    await live.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["True []", "[]"]


async def test_many_rows_are_counted_before_a_second_has_passed(servable):
    """In parts, between which the loop does what else there is; few rows wait."""
    counts = Counts.alone()
    counter = RowCounter(counts, [], 200, seconds=3600, max_values=300)
    counter.serve(servable)
    counter(servable, computed(servable, [1.0] * 10))
    assert total(counts) == 0
    counter(servable, computed(servable, [1.0] * 200))
    assert total(counts) == 0
    await until(lambda: total(counts) == 200)
    assert counter._rows == 10
    counter.serve(None)
    assert total(counts) == 210
    assert counter.render() == b""


async def test_what_waits_is_bounded(servable):
    """If more rows come while many wait, the waiting ones are counted at once."""
    counts = Counts.alone()
    counter = RowCounter(counts, [], 200, seconds=3600, max_values=30)
    counter.serve(servable)
    for _ in range(50):
        counter(servable, computed(servable, [1.0] * 100))
    assert counter._rows <= 16 * 10 + 100
    assert total(counts) == 5000 - counter._rows
    counter.serve(None)
    assert total(counts) == 5000


class Slices(list[bytes]):
    """Rows that count how many of them are copied."""

    copied = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.copied += len(found)
        return found


async def test_a_large_batch_does_not_hold_up_the_loop(servable):
    """It is counted in parts, between which the loop does what else there is, and each row is copied once."""
    counts = Counts.alone()
    counter = RowCounter(counts, [], 200, seconds=3600, max_values=30)
    counter.serve(servable)
    batch = computed(servable, [1.0] * 5000)
    rows = Slices(batch.rows)
    counter(servable, replace(batch, rows=rows))
    assert total(counts) == 0
    await until(lambda: total(counts) == 5000)
    assert rows.copied == 5000


async def test_rows_of_another_version_are_not_counted(servable, tmp_path):
    """A request may end after its version has ceased to serve."""
    other = servable_of(tmp_path / "other", MODEL, number=2)
    counts = Counts.alone()
    counter = RowCounter(counts, [], 200)
    counter.serve(other)
    counter(servable, computed(servable, [1.0]))
    counter.serve(None)
    assert total(counts) == 0


def test_the_rows_of_all_workers_are_summed(servable):
    """From the same shared memory, in each of them; counts survive the end of their process."""
    memory = shared_memory.create(2)
    blocks = shared_memory.Blocks(memory)
    first, second = (
        RowCounter(blocks.worker(n), blocks.siblings(n), 200) for n in (0, 1)
    )  # fmt: skip
    for counter in (first, second):
        counter.serve(servable)
        counter._waiting.append(
            (computed(servable, [1.0, 9.0]).rows, servable.answer([b"\0" * 8] * 2))
        )
        counter._rows += 2
        counter._count_all()
    replaced = RowCounter(shared_memory.Blocks(memory).worker(1), blocks.siblings(1), 200)
    replaced.serve(servable)
    for counter in (first, second, replaced):
        line = 'predictor_feature_rows_total{bin="(above)",feature="mean_radius",model_version="1"} 2.0'
        assert line in counter.render().decode().splitlines()
    os.close(memory)


def test_labels_are_escaped(tmp_path):
    """As the text format asks for it."""
    names = ['a "b"\\', "c\nd"]
    features = [{**RADIUS, "name": names[0]}, {**TEXTURE, "name": names[1]}]
    example = {**METADATA["recorded_examples"][0], "record": dict(zip(names, (1, 0), strict=True))}
    model = with_metadata(
        OURS, feature_names=names, training_bins={"features": features}, recorded_examples=[example]
    )
    counter = RowCounter(Counts.alone(), [], 200)
    counter.serve(servable_of(tmp_path, model))
    text = counter.render().decode()
    assert '{bin="up to 0.5",feature="a \\"b\\"\\\\",model_version="1"} 0.0' in text
    assert '{bin="any",feature="c\\nd",model_version="1"} 0.0' in text


def test_where_the_memory_for_counts_is_full_nothing_else_is_overwritten(servable):
    """All features share one place then, and the alert for full counts fires."""
    counts = Counts(memoryview(bytearray(704)))
    other = counts.place("other")
    counter = RowCounter(counts, [], 200)
    counter.serve(servable)
    counter._waiting.append((computed(servable, [1.0]).rows, servable.answer([b"\0" * 8])))
    counter._rows += 1
    counter._count_all()
    assert counts.full
    assert counts.slots[other] == 0
    assert counts.slots[-1] == 1
