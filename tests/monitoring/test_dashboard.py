"""The dashboard file equals its code, is valid by Grafana's schema, and fits on a page."""

import json
import re
from itertools import combinations

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from demo.processes import ROOT
from grafana.dashboard import FILE, written
from predictor.metrics.families import FAMILIES

DASHBOARD = json.loads(FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
WATCHED = FILE.read_text() + (ROOT / "deploy/prometheus/alerts.yml").read_text()
NOT_WATCHED = {"predictor_aspired_model_version"}  # deprecated
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()


def test_the_file_is_what_the_code_writes():
    """`make dashboard` writes the file."""
    assert written() == FILE.read_text(), "`make dashboard` writes it anew"


def test_nothing_is_lost_on_the_way_through_grafanas_schema():
    """The models are generated from Grafana's schema: unknown fields would be lost."""
    register_default_plugins()
    known = JSONEncoder().encode(Dashboard.from_json(DASHBOARD))
    assert json.loads(known) == DASHBOARD


def test_fields_that_the_schema_does_not_have_are_lost():
    """Otherwise the test above could not fail."""
    register_default_plugins()
    panel = {**PANELS[0], "colour": "red"}
    known = JSONEncoder().encode(Dashboard.from_json({**DASHBOARD, "panels": [panel]}))
    assert json.loads(known)["panels"] == [PANELS[0]]


def test_panels_fill_the_page_and_do_not_overlap():
    """Twenty-four columns, each line of panels full, none on top of another."""
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert 0 < place["w"] <= 24 - place["x"]
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    for y in {place["y"] for place in places}:
        assert sum(place["w"] for place in places if place["y"] == y) == 24


def test_panels_have_numbers_of_their_own():
    """Links to a panel name its number."""
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert sorted(numbers) == sorted(set(numbers))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_has_a_description(panel):
    """With a description, a unit that Grafana knows, and the chosen data source."""
    assert len(panel["description"]) > 15
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    if panel["type"] not in {"table", "state-timeline", "heatmap"}:
        assert panel["fieldConfig"]["defaults"]["unit"] in vars(units).values()
    for runbook in re.findall(r"Predictor[A-Z]\w+", panel["description"]):
        assert f"## {runbook}\n" in RUNBOOKS


def test_grafana_finds_its_source_and_its_dashboard():
    """Where compose mounts them, and under the name that Prometheus has there."""
    folder = ROOT / "grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]
    (provider,) = yaml.safe_load((folder / "dashboards/predictor.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_watched(family):
    """Every metric is in a panel or an alert."""
    found = re.search(rf"\b{family.name}(_bucket|_sum|_count)?\b", WATCHED)
    assert bool(found) == (family.name not in NOT_WATCHED)


def test_the_dashboard_phones_nowhere():
    """No link and no image of another host."""
    assert not re.search(r"https?://", FILE.read_text())
