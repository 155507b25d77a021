"""Targets and the picture of the service beside other servers."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from benchmarks import results
from benchmarks.peers import picture, report
from benchmarks.peers.ours import PREDICTOR_V2
from benchmarks.peers.run import Peers
from benchmarks.peers.triton.contenders import TRITON
from benchmarks.servers import EMPTY
from tests.benchmarks.parts import SAMPLE, peers


def test_four_times_triton_with_its_latency_meets_both_targets():
    """The ratio is the service's to Triton's, over /v2."""
    rates, latencies = report.targets(peers())
    assert (rates.value, rates.verdict) == (4, "met")
    assert (latencies.value, latencies.verdict) == (1, "met")


def test_less_than_four_times_triton_misses():
    """A slower service shows as one."""
    found = peers()
    slow = [replace(SAMPLE, requests_per_second=3999, p50_us=51)]
    for peer in found.peers:
        if peer.name == PREDICTOR_V2:
            peer.one, peer.many = slow, slow
    assert [target.verdict for target in report.targets(found)] == ["missed", "missed"]


@pytest.mark.parametrize("name", [PREDICTOR_V2, TRITON])
def test_no_target_without_the_figures_of_both(name):
    """A fault in a later round makes the earlier figures invalid."""
    found = peers()
    next(peer for peer in found.peers if peer.name == name).fault = "it ended"
    assert report.targets(found) == []


@pytest.mark.parametrize("colours", picture.FILES.values())
def test_the_picture_has_a_row_for_each_server_that_predicts(colours):
    """The fastest is first; empty applications and servers without figures are left out."""
    root = ET.fromstring(picture.svg(peers(), colours))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    names = texts[: texts.index("Requests per second")]
    assert names[0] == "this service, /v2 JSON"
    assert sorted(names[1:]) == ["Triton, ONNX Runtime", "this service, /predict"]
    assert EMPTY not in texts
    assert {"32 connections; higher is better", "1 connection; lower is better"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 2 * len(names)


@pytest.mark.parametrize("file", picture.FILES)
def test_the_pictures_show_the_results_that_are_kept(file):
    """`python -m benchmarks readme` after a run."""
    found = results.read(report.FILE, Peers)
    assert file.read_text() == picture.svg(found, picture.FILES[file])
