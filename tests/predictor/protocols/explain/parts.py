"""Explaining a record by a servable, without a service around it."""

import json
from functools import partial
from typing import Any

from predictor.inference.compute import run_in_calls
from predictor.model.servable import Servable
from predictor.protocols.explain.explainer import Explainer


def explained(servable: Servable, record: Any, explainer: Explainer | None = None) -> Any:
    """The answer to a record, parsed. Raises as `Explainer.explain`."""
    body = json.dumps(record).encode()
    run = partial(run_in_calls, servable, lambda answers, seconds: None)
    (explained,) = (explainer or Explainer()).explain(body, servable, run).results
    return json.loads(explained)


def by_name(answer: Any, member: str = "contribution") -> dict[str, Any]:
    """What each feature has."""
    return {each["feature"]: each[member] for each in answer["explanation"]["contributions"]}


def adds_up(answer: Any, tolerance: float = 1e-9) -> bool:
    """Whether contributions are what the answer and the baseline differ by."""
    said = answer["explanation"]
    off = sum(by_name(answer).values()) - (said["value"] - said["baseline"]["value"])
    return abs(off) <= tolerance * max(1.0, abs(said["value"]))
