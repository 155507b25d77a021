"""Models of other libraries are served as docs/models.md says."""

import re
import sys
from collections import Counter

import pytest

from compatibility import page
from compatibility.__main__ import PAGE, exported, folders
from compatibility.page import outcomes
from compatibility.protocols import difference
from compatibility.serve import Result, serve
from tests.required import environment

RANK = {"differs": 0, "refused": 1, "in part": 2, "agrees": 3}


def key(result: Result) -> tuple[str, ...]:
    return tuple(result.case[name] for name in page.DESCRIBED)


def not_as_published(results: list[Result]) -> list[str]:
    """The models that are served worse than the page says."""
    published = outcomes(PAGE.read_text())
    return [
        f"{', '.join(key(result))}: {page.wrong(result)}"
        for result in results
        if RANK[result.outcome] < RANK[published.get(key(result), "agrees")]
    ]


@pytest.mark.timeout(300)
@pytest.mark.whole
def test_the_smaller_part_is_served_as_the_page_says(tmp_path):
    """Every protocol gives ONNX Runtime's numbers for scikit-learn's models and small networks."""
    exported(sys.executable, tmp_path / "versions", "--quick")
    results = serve(folders(tmp_path / "versions"), tmp_path / "predictor", lambda _: None)
    assert not_as_published(results) == []
    assert len(results) > 60
    assert Counter(result.outcome for result in results)["differs"] == 0


@pytest.mark.whole
@pytest.mark.timeout(1200)
def test_all_of_them_are_served_as_the_page_says(tmp_path):
    """LightGBM, XGBoost, CatBoost and every scikit-learn estimator that is converted."""
    exported(environment("models"), tmp_path / "versions")
    results = serve(folders(tmp_path / "versions"), tmp_path / "predictor", lambda _: None)
    assert not_as_published(results) == []
    assert len(results) > 250
    assert {"LightGBM", "XGBoost", "CatBoost", "scikit-learn", "networks"} == {
        result.case["library"] for result in results
    }


def test_each_model_has_a_row_of_its_own():
    """Two rows with the same description would hide each other."""
    text = PAGE.read_text()
    counted = re.search(r"^\| all \| (\d+) \|", text, re.MULTILINE)
    assert counted
    assert len(outcomes(text)) == int(counted[1]) > 250


@pytest.mark.parametrize(
    ("expected", "answered", "largest"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.25),
        ([1, "a"], [[1], ["a"]], 0.0),
        ({"x": 0.25}, {"x": 0.5}, 0.25),
        ([0.5, 0.5], [0.5], float("inf")),
        (["a"], ["b"], float("inf")),
        ([None], [0.0], float("inf")),
        ({"x": 1.0}, {"y": 1.0}, float("inf")),
        ([1000.0], [1001.0], 0.001),
    ],
)
def test_the_difference_of_answers(expected, answered, largest):
    """Another text, a missing row and another name are infinite differences."""
    assert difference(expected, answered) == largest
