"""`make scale`, small: a real MLflow, nginx and nats-server, pollers and predictors, through changes and faults."""

import subprocess
import sys
from collections import Counter

import pytest

from demo.processes import ROOT
from scale.proof import Arrival, Outage, Reached, Result, Size
from scale.report import bars, proof
from tests.required import development_program, program


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_a_small_run() -> None:
    """50 pollers and 2 predictors: each change arrives everywhere, each file leaves MLflow once, nothing is lost.

    Times depend on the machine, so that no time is checked.
    """
    program("nginx")
    development_program("nats-server")
    command = [
        sys.executable, "-m", "scale", "--pollers", "50", "--replicas", "2", "--steady-seconds", "6",
        "--down-seconds", "3",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    lines = done.stdout.splitlines()
    for bar in ("one copy of each artifact", "no prediction is wrong", "each change arrives"):
        (line,) = [each for each in lines if each.startswith(f"| {bar}")]
        assert line.endswith("| met |"), done.stdout + done.stderr
    for change in ("promotion", "rollback"):
        assert f"| {change}, and a message over NATS | " in done.stdout
    assert "| without MLflow | " in done.stdout
    assert sum("2 of 2" in each for each in lines if each.startswith("| without ")) == 2


def result(**changes: object) -> Result:
    size = Size(pollers=2, replicas=1)
    promotion = changes.pop("promotion", Arrival("promotion", (0.5, 1.5), (1.0,)))
    told = changes.pop("told", Arrival("told", (0.1, 0.4), (0.3,)))
    given = {
        "size": size,
        "arrivals": (promotion, told),
        "promotion": promotion,
        "told": told,
        "outages": (Outage("nginx", 4, 1),),
        "reached": Reached(20, 10.0, 23, 2000, 11, {"a/MLmodel": 1, "a/model.onnx": 1}, 1000),
        "predictions": Counter(right=10),
    }
    return Result(**{**given, **changes})  # type: ignore[arg-type]


def unmet(found: Result) -> list[str]:
    return [bar for bar, _, met in bars(found) if not met]


def test_every_bar_can_be_missed() -> None:
    """Late or missing pollers, a predictor that has the old version, polls, copies, and predictions."""
    assert unmet(result()) == []
    late, missing = Arrival("promotion", (0.5, 2.5), (1.0,)), Arrival("promotion", (0.5,), (1.0,))
    for change in ("promotion", "told"):
        assert len(unmet(result(**{change: late}))) == 1
        assert len(unmet(result(**{change: missing}))) == 2
        assert len(unmet(result(**{change: Arrival("promotion", (0.3, 0.4), ())}))) == 1
    assert len(unmet(result(told=Arrival("told", (0.5, 0.51), (1.0,))))) == 1
    assert len(unmet(result(reached=Reached(22, 10.0, 1, 1, 3, {"a": 1}, 1)))) == 1
    assert len(unmet(result(reached=Reached(20, 10.0, 1, 1, 2, {"a": 2}, 1)))) == 1
    assert len(unmet(result(reached=Reached(20, 10.0, 1, 1, 2, {}, 0)))) == 1
    for fault in ("wrong", "lost"):
        assert len(unmet(result(predictions=Counter({"right": 10, fault: 1})))) == 1
    assert len(unmet(result(predictions=Counter()))) == 1


def test_the_report_names_each_figure() -> None:
    """Changes, outages, requests and bars."""
    text = proof(result())
    for line in (
        "| promotion | 0.50 | 1.50 | 1.00 | 2 + 1 |",
        "| without nginx | 4 | 1 of 1 |",
        "| told | 0.10 | 0.40 | 0.30 | 2 + 1 |",
        "| polls that reached MLflow, a second | 2.00 |",
        "| polls that reached MLflow in the 3 s after the message | 23 |",
        "| one copy of each artifact leaves MLflow | at most 1 | met |",
    ):
        assert line in text
