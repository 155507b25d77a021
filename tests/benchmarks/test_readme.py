"""The figures of the README and docs/speed.md are those of benchmarks/results.json, and nobody's who typed them."""

import re
from dataclasses import replace

import pytest

from benchmarks import readme, results
from benchmarks.peers import report
from benchmarks.peers.run import Peers
from benchmarks.results import Results
from demo.processes import ROOT
from tests.benchmarks.parts import fast, peers

PEERS = results.read(report.FILE, Peers) if report.FILE.exists() else None


@pytest.mark.parametrize("name", readme.PAGES)
def test_each_page_shows_the_results_that_are_kept(name):
    """`python -m benchmarks readme` after a run."""
    text = (ROOT / name).read_text()
    figures = readme.PAGES[name](results.read(results.FILE, Results), PEERS)
    assert readme.rewritten(text, figures) == text


@pytest.mark.parametrize("name", readme.PAGES)
def test_only_what_is_between_the_markers_changes(name):
    """And a second time changes nothing."""
    text, figures = (ROOT / name).read_text(), readme.PAGES[name](fast(), None)
    once = readme.rewritten(text, figures)
    assert readme.rewritten(once, figures) == once
    outside = re.compile(r"(?<=<!-- speed: ).*(?=<!-- /speed -->)", re.DOTALL)
    assert outside.sub("", once) == outside.sub("", text)


def test_a_readme_without_markers_is_left_alone():
    """It is not guessed where the figures belong."""
    with pytest.raises(ValueError, match="has no"):
        readme.rewritten("# Nothing\n", "figures")


def test_the_text_says_when_on_what_and_how():
    """A figure without its circumstances is none."""
    text = readme.tables(fast(), peers())
    assert "`make bench` on 2026-11-23 12:00 UTC, in 12 minutes, commit abc1234" in text
    assert "core, or wrk's, for 0 % of a sample's time at the median and 0 % at most" in text
    assert "A processor, 2 cores, Linux 6; Python 3.11, wrk 4.1" in text
    assert "| memory (PSS) after the load | 110 MB | at most 110 | met |" in text
    assert "| 10,000 | 32 | 10,000,000 | 16,666,667 | 0.60 | 100 |" in text
    assert "| 32 | all traces to a local collector | 1,000 | 30.0 | 100 | 200 | 0.40 |" in text
    assert (
        "| 10 columns | predictor, 4 columns of text | 32 | 40,000 | 200,000 | 0.20 | 100 |" in text
    )
    assert "| 2 | 1,000 | 30.0 | 100 | 200 | 0.01 | 0.90, 0.80, 0.00 |" in text
    assert "| after swap 2 | 420 | 410 |" in text
    assert "| read | 2.00 | 25 % |" in text
    assert "| all steps, measured at once | 8.50 |  |" in text


def test_the_readme_has_one_sentence_with_its_circumstances():
    """What was measured, beside what, on what and when."""
    sentence = " ".join(readme.headline(fast(), peers()).split())
    assert "On one core (A processor)" in sentence
    assert "2,500 predictions a second over 32 connections, 12 times as many as FastAPI" in sentence
    assert "110 µs at the median over one connection" in sentence
    assert sentence.endswith("(`make bench` on 2026-11-23 12:00 UTC).")


def test_a_run_without_that_part_makes_no_sentence():
    """Nothing is written that was not measured."""
    with pytest.raises(ValueError, match="no requests of one record"):
        readme.headline(replace(fast(), http=None), None)


def test_a_peer_without_figures_is_shown_with_its_reason():
    """It is not left out."""
    text = readme.tables(fast(), peers())
    assert "| predictor |  | 100 | 1,000 | 200 | 90 | 1.50 |" in text
    assert "| MLServer | 1.7 | no figures: it cannot be installed |  |  |  |  |" in text


def test_every_row_of_every_table_has_a_cell_for_each_column():
    """Else the table does not show as one."""
    text = readme.tables(fast(), peers())
    for table in text.split("**")[2::2]:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len(rows) > 2
        assert len({row.count("|") for row in rows}) == 1


def test_results_come_back_from_their_file(tmp_path):
    """Nothing of a run is lost between it and the README."""
    for found in (fast(), peers()):
        results.write(found, tmp_path / "results.json")
        assert results.read(tmp_path / "results.json", type(found)) == found
