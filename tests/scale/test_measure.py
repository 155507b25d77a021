"""The costs are measured on a real MLflow server and a real predictor."""

from dataclasses import fields

import pytest

from demo.processes import ROOT
from scale import costs, report
from scale.costs import Costs
from scale.measure import Counts, measure
from scale.registry import followed_model

DOCUMENT = (ROOT / "docs/scale.md").read_text()


@pytest.mark.whole
def test_a_real_server_and_a_real_replica_are_measured(mlflow_server, tmp_path):
    """A few requests of each kind give every figure."""
    model = followed_model(mlflow_server.url, mlflow_server.group, tmp_path)
    found = measure(model, tmp_path, Counts(each=2, large=1, full_seconds=0.2))
    for field in fields(Costs):
        assert getattr(found, field.name), field.name
    assert found.series > 100
    assert found.file(12) > found.small_file
    costs.write(found, tmp_path / "costs.json")
    assert costs.read(tmp_path / "costs.json") == found


def test_the_document_shows_what_was_measured():
    """docs/scale.md shows the stored costs."""
    assert report.measured(costs.read()) in DOCUMENT
