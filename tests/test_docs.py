"""The README says what the code does: its tables are compared with the code."""

import re

import pytest
from pydantic import SecretStr

from demo.processes import ROOT
from predictor.families import FAMILIES
from predictor.settings import Settings, variable

README = (ROOT / "README.md").read_text()


def table(name: str) -> list[list[str]]:
    """The rows of the table behind the comment `<!-- name: …`, without its heading."""
    lines = README.partition(f"<!-- {name}:")[2].partition("\n")[2].splitlines()
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default in (None, ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_is_in_the_readme_with_its_default():
    """A setting that is not documented does not exist for whoever runs the service."""
    assert table("settings") == [
        [f"`{variable(name)}`", shown(field.default), field.description]
        for name, field in Settings.model_fields.items()
    ]


def test_every_metric_is_in_the_readme_with_its_labels_and_help():
    """What ops can scrape is what they can read about."""
    described = [
        [f"`{f.name}`", f.kind, ", ".join(f"`{label}`" for label in f.labels), f.help]
        for f in FAMILIES
    ]
    assert table("metrics") == described


def test_the_rows_about_promotion_name_tests_that_exist():
    """Each row of the rule is proved by the test that it names."""
    tests = (ROOT / "tests/trainer/test_rollback_rule.py").read_text()
    rows = README.partition("| Production before, top first |")[2].partition("\n\n")[0]
    named = re.findall(r"`([^`]+)` ?(?:,|\|$)", rows, re.MULTILINE)
    assert len(named) >= 12
    for name in named:
        assert name.removeprefix("… ") in tests


@pytest.mark.parametrize("command", re.findall(r"`make ([a-z]+)", README))
def test_every_make_target_of_the_readme_exists(command):
    """What the README says to type can be typed."""
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
