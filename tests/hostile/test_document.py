"""The service does what its OpenAPI document says, for whatever that allows and forbids."""

import os
from collections import Counter
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.openapi import from_url
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.hostile.parts import Target

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "36"))
SLOW = {"/invocations": 6}  # to make an example of its five forms takes so many times as long
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]

# A schema cannot say that data have as many elements as the shape says, nor of which datatype.
UNSAID = [positive_data_acceptance]


def _examples(operation: Any) -> int:
    if not operation.body or "{version}" in operation.path:
        return 5
    return EXAMPLES // SLOW.get(operation.path, 1)


@pytest.mark.whole
@pytest.mark.timeout(3600)
def test_every_operation_keeps_its_word(target: Target) -> None:
    """Codes, types and shapes are those of the document; valid is accepted, invalid refused."""
    document = from_url(f"{target.service.child.url}/openapi.json")
    operations = [each.ok() for each in document.get_all_operations()]
    # Its answer has no end; `tests/predictor/operations/test_events.py` reads it.
    operations = [each for each in operations if each.path != "/events"]
    assert {operation.path for operation in operations} >= {
        "/predict", "/predict/batch", "/predict/what-if", "/model", "/invocations",
    }  # fmt: skip
    serving = {
        "model": httpx.get(f"{target.service.child.url}/ready").json()["model_name"],
        "version": target.version,
    }
    codes: Counter[int] = Counter()
    for operation in operations:
        # Nothing can be invalid about a request that takes nothing.
        for mode in MODES if operation.body else MODES[:1]:

            @settings(
                max_examples=_examples(operation), deadline=None, database=None,
                derandomize="SCHEMA_EXAMPLES" not in os.environ,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(operation.as_strategy(mode))
            def ask(case: Case) -> None:
                for name in case.path_parameters:
                    case.path_parameters[name] = serving[name]
                unsaid = UNSAID if case.path.endswith("/infer") else []
                answer = case.call_and_validate(excluded_checks=unsaid)
                codes[answer.status_code] += 1

            ask()
    answers = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
    print(f"\n{codes.total()} requests from the document; answers by code: {answers}")
