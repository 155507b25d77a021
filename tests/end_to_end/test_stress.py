"""Fifty swaps under load: no answer is lost or wrong. `make stress` runs two thousand."""

from pathlib import Path

import pytest

from stress.run import Plan, run
from stress.scenarios import VERSIONS


@pytest.mark.whole
def test_fifty_swaps_under_load_lose_nothing_and_get_nothing_wrong(
    own_trained_folder: Path, tmp_path: Path
) -> None:
    """32 clients on every endpoint; the registry changes by alias, then by stage, in seven ways."""
    reports = run(own_trained_folder, tmp_path, Plan(swaps=25, quiet_seconds=0.5))
    for report in reports:
        print("\n".join(report.lines()))
        assert (report.tally.wrong, report.tally.lost) == (0, 0), report.tally.faults
        assert not report.log.faults
        assert report.swaps >= 25
        assert set(report.tally.versions) >= {str(version) for version in VERSIONS}
        assert min(report.tally.requests.values()) > 0
        assert report.restarted == report.settled
        assert report.cached < 30
        assert report.good
