"""The documents say what the code does: their tables, links and commands are compared with it."""

import re
import tomllib

import pytest

import reference_tables
from demo.processes import ROOT
from predictor.metrics.families import FAMILIES
from predictor.metrics.worker_state import BEAT_SECONDS
from predictor.settings import Settings, variable
from predictor.workers.supervisor import HUNG_BEATS

DOCS = ROOT / "docs"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
PAGES = [*WRITTEN, ROOT / "CHANGELOG.md", *(ROOT / "deploy").rglob("*.md")]
README_LINES = 150


@pytest.mark.parametrize(
    ("table", "page"), [(t, p) for t, (p, _) in reference_tables.TABLES.items()]
)
def test_the_generated_tables_are_up_to_date(table, page):
    """Every setting, metric and log event is documented as the code has it."""
    text = (ROOT / page).read_text()
    assert reference_tables.rewritten(text, table) == text, "run `make tables`"


def test_every_setting_and_metric_has_a_row():
    """With its default, its type and its labels."""
    settings, metrics = (DOCS / "settings.md").read_text(), (DOCS / "metrics.md").read_text()
    assert "| `PREDICTOR_PORT` | `8000` |" in settings
    assert "| `predictor_swaps_total` | counter | `reason` |" in metrics
    for name in Settings.model_fields:
        assert f"| `{variable(name)}` |" in settings
    for family in FAMILIES:
        assert f"| `{family.name}` | {family.kind} |" in metrics


def test_the_readme_is_short():
    """It sells and starts; docs/ explains."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("page", sorted(DOCS.glob("[a-z]*.md")), ids=lambda page: page.name)
def test_every_page_is_in_the_table_of_contents(page):
    """A page that nothing leads to is not read."""
    assert f"]({page.name})" in (DOCS / "README.md").read_text()


def test_how_long_a_worker_may_hang():
    """The test that has one replaced gives it less."""
    faults = (ROOT / "docs/faults.md").read_text()
    assert f"hangs for {HUNG_BEATS * BEAT_SECONDS:g} seconds" in faults


def test_the_rows_about_promotion_name_tests_that_exist():
    """Each row of the rule is proved by the test that it names."""
    tests = (ROOT / "tests/trainer/test_rollback_rule.py").read_text()
    page = (ROOT / "docs/promotion.md").read_text()
    tables = (
        page.partition(f"| {first} |")[2].partition("\n\n")[0]
        for first in ("Production before, top first", "alias before, earlier versions after it")
    )
    named = [
        name
        for table in tables
        for name in re.findall(r"`([^`]+)` ?(?:,|\|$)", table, re.MULTILINE)
    ]
    assert len(named) >= 22
    for name in named:
        assert name.removeprefix("… ") in tests


def test_every_test_that_shows_security_exists():
    """A threat is named with the test that shows what stands against it."""
    table = (ROOT / "docs/security.md").read_text().partition("\n## Threats")[2]
    rows = [row for row in table.partition("\n## ")[0].splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)::(test_[^`]+)`", row)
        assert named, row
        for file, test in named:
            assert re.search(rf"def {test}\(", (ROOT / file).read_text()), (file, test)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """To a file that is there, and to a heading that it has."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {
                re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings
            }
            assert anchor in anchors, target


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page):
    """What a page says to type can be typed."""
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command


def test_every_file_that_a_page_names_exists():
    """Each file is where the page says."""
    for page in WRITTEN:
        for path in re.findall(
            r"`((?:approvals|predictor|trainer|exporters|tests|docs)/[a-z0-9_./-]*)`",
            page.read_text(),
        ):
            assert (ROOT / path).exists(), (page.name, path)


def test_every_room_is_in_the_drawing():
    """In the order in which one imports another."""
    drawing = (DOCS / "architecture.md").read_text().split("```")[3]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["predictor"]]
    rooms = [room for layer in layers for room in layer.split(" | ")]
    folders = [room for room in rooms if (ROOT / "predictor" / room).is_dir()]
    places = [drawing.find(f"{room}/") for room in folders]
    assert -1 not in places, folders
    lines = [drawing[:place].count("\n") for place in places]
    assert lines == sorted(lines)


def test_the_journeys_name_functions_that_exist():
    """Each in the file beside it."""
    page = (DOCS / "architecture.md").read_text()
    journeys = re.findall(r"<!-- journey: .*\n((?:\|.*\n)+)", page)
    rows = [row for journey in journeys for row in journey.splitlines()[2:]]
    assert len(rows) > 20
    for row in rows:
        *_, file, names = [cell for cell in row.split("|") if cell.strip()]
        code = (ROOT / file.strip(" `")).read_text()
        for name in re.findall(r"`([\w.]+)`", names):
            assert all(re.search(rf"(?:def|class) {each}\b", code) for each in name.split(".")), row
