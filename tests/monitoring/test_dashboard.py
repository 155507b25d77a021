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
from grafana.panels import NO_DATA
from predictor.metrics.families import FAMILIES

DASHBOARD = json.loads(FILE.read_text())
ROWS = [each for each in DASHBOARD["panels"] if each["type"] == "row"]
FIRST_SCREEN = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
PANELS = [*FIRST_SCREEN, *(panel for row in ROWS for panel in row.get("panels", ()))]
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
    places = [panel["gridPos"] for panel in [*ROWS, *PANELS]]
    for place in places:
        assert 0 < place["w"] <= 24 - place["x"]
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    for y in {place["y"] for place in places}:
        assert sum(place["w"] for place in places if place["y"] == y) == 24


def test_the_first_screen_has_the_golden_signals_and_the_rest_is_folded():
    """Thirty units of a grid of 38 pixels are the height of a usual screen."""
    titles = [panel["title"] for panel in FIRST_SCREEN]
    assert titles[0] == "Versions that serve"
    for signal in ("Traffic", "Errors:", "Latency", "Saturation"):
        assert [title for title in titles if title.startswith(signal)]
    assert max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in FIRST_SCREEN) <= 24
    assert [bool(row["collapsed"]) for row in ROWS] == [False, *[True] * (len(ROWS) - 1)]


def test_figures_say_nothing_without_data():
    """Neither well nor ill: grey, until there is a number."""
    for panel in PANELS:
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["thresholds"]["steps"][0]["color"] == NO_DATA, panel["title"]
            assert defaults["noValue"] == "no data"
            assert not re.search(r"or vector\(0\)$", panel["targets"][0]["expr"])


def test_legends_have_the_last_and_the_largest_value():
    for panel in PANELS:
        if panel["type"] == "timeseries":
            legend = panel["options"]["legend"]
            assert legend["displayMode"] == "table"
            assert legend["calcs"] == ["lastNotNull", "max"]


def test_a_version_has_one_colour_wherever_it_is_shown():
    """Series are named after it, or values are mapped; both by the last digit, and each digit has its own."""
    colours = {}
    for panel in PANELS:
        config = panel["fieldConfig"]
        for override in config["overrides"]:
            matcher = override["matcher"]
            if matcher["id"] == "byRegexp" and "version" in str(matcher["options"]):
                digits = re.findall(r"(\d)\$/", matcher["options"])
                (found,) = (
                    each["value"] for each in override["properties"] if each["id"] == "color"
                )
                if "\\d" in matcher["options"]:
                    colours.setdefault(digits[0], set()).add(found["fixedColor"])
        mapped = [*config["defaults"].get("mappings", [])]
        for override in config["overrides"]:
            mapped += [
                each
                for found in override["properties"]
                if found["id"] == "mappings"
                for each in found["value"]
            ]
        for each in mapped:
            if each["type"] == "regex":
                (digit,) = re.findall(r"(\d)\)\$/", each["options"]["pattern"])
                colours.setdefault(digit, set()).add(each["options"]["result"]["color"])
    assert sorted(colours) == sorted("0123456789")
    assert [len(each) for each in colours.values()] == [1] * 10
    assert len({colour for each in colours.values() for colour in each}) == 10


@pytest.mark.parametrize(
    "panel",
    [each for each in PANELS if "version {{" in json.dumps(each["targets"])],
    ids=lambda panel: panel["title"],
)
def test_each_series_that_is_named_after_a_version_has_its_colour(panel):
    patterns = [each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]]
    assert sum("version" in each for each in patterns) == 11


def test_panels_have_numbers_of_their_own():
    """Links to a panel name its number."""
    numbers = [panel["id"] for panel in [*ROWS, *PANELS]]
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
