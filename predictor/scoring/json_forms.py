"""JSON bodies of `/invocations`: exactly one of four forms, and perhaps `params`."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from predictor.records.faults import short_name
from predictor.records.json_text import JsonText
from predictor.scoring.scoring_errors import InvalidInput

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_REQUIRED = f"The input must be a JSON dictionary with exactly one of the input fields {{{str(_FORMS)[1:-1]}}}"
_LLM = {
    "messages",
    "prompt",
    "input",
}  # MLflow takes such a body for one that asks a language model


@dataclass(frozen=True)
class Asked:
    """What one body says: its form, what the form holds, and `params` (None for none)."""

    form: str
    content: Any
    params: Any = None


def read_json(body: bytes) -> Asked:
    """Read one body. Raises InvalidInput; it names what is wrong and never repeats a value."""
    parsed = _parse(body)
    if isinstance(parsed, list):
        raise InvalidInput(f"Invalid input. {_REQUIRED}. Received a list.")
    if not isinstance(parsed, dict):
        raise InvalidInput(
            f"Invalid input. {_REQUIRED}. Received unexpected input type '{type(parsed)}."
        )
    if _LLM & parsed.keys():
        # To MLflow, the names in it are those of columns.
        return Asked("llm", parsed)
    given = [name for name in parsed if name in _FORMS]
    if len(given) != 1:
        raise InvalidInput(f"{_REQUIRED}. Received dictionary with input fields: {given}. ")
    return Asked(given[0], parsed[given[0]], parsed.get("params"))


def _parse(body: bytes) -> Any:
    try:
        # As `json.loads` decodes bytes.
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        return JsonText(text, _once).whole()
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = repr(error)
    except UnicodeDecodeError as error:
        reason = str(error)
    raise InvalidInput(
        f"Invalid input. Ensure that input is a valid JSON formatted string. Error: '{reason}'"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        given = Counter(name for name, _ in pairs)
        twice = next(name for name in members if given[name] > 1)
        raise InvalidInput(f"Invalid input. {short_name(twice)} is given twice in one JSON object")
    return members
