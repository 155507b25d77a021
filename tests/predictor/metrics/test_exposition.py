"""The metrics of several processes: sums that never decrease."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from predictor import events
from predictor.metrics import worker_state
from predictor.metrics.exposition import Exposition
from predictor.metrics.recorder import Metrics
from predictor.workers import shared_memory as blocks
from tests.predictor.parts import version


class Service:
    """Two workers and their supervisor, as blocks in shared memory."""

    def __init__(self):
        self.memory = blocks.create(2)
        shared = blocks.Blocks(self.memory)
        self.supervisor = shared.supervisor()
        self.counts = [shared.worker(0), shared.worker(1)]
        self.metrics = [Metrics(counts) for counts in self.counts]

    def samples(self, requests=0):
        """Every sample that one worker renders, from the descriptors of its process."""
        seen = blocks.Blocks(self.memory)
        requests = Exposition(
            "m", seen.worker(requests), seen.siblings(requests), seen.supervisor()
        )
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(requests.render().decode())
            for sample in family.samples
        }


@pytest.fixture
def service():
    made = Service()
    for counts in (*made.counts, made.supervisor):
        worker_state.begin(counts)
    yield made
    os.close(made.memory)


def test_every_worker_renders_the_same_sums(service):
    """Also of label sets that only one worker has seen."""
    first, second = service.metrics
    first.answered("/predict", 200, 0.1)
    second.answered_all("/predict", 200, [0.1, 5.0])
    second.refused(431)
    for requests in (0, 1):
        samples = service.samples(requests)
        assert samples["predictor_requests_total", "200", "/predict"] == 3
        assert samples["predictor_requests_total", "431", "other"] == 1
        assert samples["predictor_request_duration_seconds_count", "/predict"] == 3
        assert samples["predictor_request_duration_seconds_sum", "/predict"] == pytest.approx(5.2)
        assert samples["predictor_request_duration_seconds_bucket", "/predict", "0.1"] == 2


def test_a_replacement_worker_continues_the_counts(service):
    """The previous process's state is cleared, its counts stay."""
    service.metrics[1].answered("/predict", 200, 0.1)
    service.metrics[1].observe(events.Swapped(None, version(7), "promoted", 0.1, "d"))
    assert service.samples()["predictor_workers", "7"] == 1
    worker_state.end(service.counts[1])
    samples = service.samples()
    assert ("predictor_workers", "7") not in samples
    assert samples["predictor_workers", "none"] == 1
    assert samples["predictor_requests_total", "200", "/predict"] == 1
    counts = blocks.Blocks(service.memory).worker(1)
    Metrics(counts).answered("/predict", 200, 0.1)
    worker_state.begin(counts)
    samples = service.samples()
    assert samples["predictor_workers", "none"] == 2
    assert samples["predictor_requests_total", "200", "/predict"] == 2
    assert samples["predictor_swaps_total", "promoted"] == 1
    assert worker_state.starts(counts) == 2


def test_the_gauges_show_a_worker_that_is_behind(service):
    """In the version gauge and its identity, the number of workers, and the skew."""
    for metrics, number in zip(service.metrics, (8, 7), strict=True):
        metrics.observe(events.RegistryAnswered(version(7), changed=True))
        metrics.observe(events.Swapped(None, version(7), "promoted", 0.1, "digest7"))
        metrics.observe(events.RegistryAnswered(version(8), changed=True))
        if number == 8:
            metrics.observe(events.Swapped(version(7), version(8), "promoted", 0.1, "digest8"))
    samples = service.samples(0)
    assert samples["predictor_model_version", "m"] == 7
    assert samples["predictor_desired_model_version", "m"] == 8
    assert ("predictor_model_info", "digest7", "m", "7", "run7") in samples
    assert samples["predictor_workers", "7"] == samples["predictor_workers", "8"] == 1
    skew = samples[("predictor_swap_skew_seconds",)]
    assert 0 < skew < service.samples(1)[("predictor_swap_skew_seconds",)]
    service.metrics[1].observe(events.Swapped(version(7), version(8), "promoted", 0.1, "digest8"))
    samples = service.samples(1)
    assert samples["predictor_model_version", "m"] == 8
    assert samples["predictor_workers", "8"] == 2
    assert samples == service.samples(1) | {
        key: value for key, value in samples.items() if key[0].startswith(("process_", "python_"))
    }


def test_the_gauges_show_a_worker_that_cannot_load(service):
    """The start time is that of the shown worker; a failure may be any worker's."""
    for metrics in service.metrics:
        metrics.observe(events.RegistryAnswered(version(7), changed=True))
        metrics.observe(events.Swapped(None, version(7), "promoted", 0.1, "digest7"))
        metrics.observe(events.RegistryAnswered(version(8), changed=True))
    service.metrics[0].observe(events.LoadFailed(version(8), "fetch", "gone", 1, 2.0, version(7)))
    behind = service.samples()[("predictor_serving_since_timestamp_seconds",)]
    time.sleep(0.11)  # times are shown in tenths of a second
    service.metrics[1].observe(events.Swapped(version(7), version(8), "promoted", 0.1, "digest8"))
    for requests in (0, 1):
        samples = service.samples(requests)
        assert samples["predictor_failed_model_version", "m"] == 8
        assert samples["predictor_model_version", "m"] == 7
        assert samples[("predictor_serving_since_timestamp_seconds",)] >= behind
    service.metrics[0].observe(events.Swapped(version(7), version(8), "promoted", 0.1, "digest8"))
    samples = service.samples()
    assert samples["predictor_failed_model_version", "m"] == 0
    assert samples[("predictor_serving_since_timestamp_seconds",)] > behind


def test_a_start_does_not_count_as_a_swap(service):
    """Workers that load at different times when they start have no skew."""
    for metrics in service.metrics:
        metrics.observe(events.RegistryAnswered(version(7), changed=True))
        metrics.observe(events.Swapped(None, version(7), "promoted", 0.1, "d"))
    assert service.samples()[("predictor_swap_skew_seconds",)] == 0


def test_processor_time_of_a_dead_worker_is_not_lost(service):
    """Counters do not decrease: ended children of the supervisor count."""
    before = service.samples()[("process_cpu_seconds_total",)]
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert service.samples()[("process_cpu_seconds_total",)] >= before + 0.3


def test_processes_are_added_up(service):
    """Memory and files are sums; the start is that of the first process."""
    one = service.samples()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        service.counts[1].slots[service.counts[1].place("pid")] = other.pid
        two = service.samples()
        other.communicate(b"\n")
    assert two[("process_start_time_seconds",)] == one[("process_start_time_seconds",)]
    # Here the first worker, the second and the supervisor were one process.
    assert two[("process_open_fds",)] < one[("process_open_fds",)]
    gone = service.samples()
    assert gone[("process_max_fds",)] == two[("process_max_fds",)] * 2 / 3


def test_shared_memory_has_no_file_and_little_of_it_is_used(service, tmp_path):
    """It has no name in a folder, ends with its processes, and unused pages take no memory."""
    assert "memfd" in str(Path(f"/proc/self/fd/{service.memory}").readlink())
    found = os.fstat(service.memory)
    assert found.st_blocks * 512 < found.st_size / 50
