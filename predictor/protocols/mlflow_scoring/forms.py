"""Bodies of `/invocations`: CSV, or JSON in exactly one of four forms."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

from predictor.errors import UnsupportedMedia
from predictor.http.body import MediaType, check_encoding, shortened
from predictor.model.json_text import JsonText
from predictor.model.validation import check_size, short_name
from predictor.protocols.mlflow_scoring.errors import InvalidInput
from predictor.protocols.mlflow_scoring.tables import ABSENT, Table, of_lists

Media = Literal["json", "csv"]

_READ: dict[str, Media] = {"application/json": "json", "text/csv": "csv"}


def media_of(content_type: str | None, encoding: str | None) -> Media:
    """The kind of body. Raises UnsupportedMedia in MLflow's words.

    As everywhere in this service, a body without a type is JSON.
    """
    check_encoding(encoding)
    if not content_type:
        return "json"
    media = MediaType.parse(content_type)
    if media.parameters.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMedia("The scoring server only supports UTF-8")
    if unknown := [name for name in media.parameters if name != "charset"]:
        names = shortened(", ".join(unknown))
        raise UnsupportedMedia(f"Unrecognized content type parameters: {names}.")
    if media.essence not in _READ:
        raise UnsupportedMedia(
            "This predictor only supports the following content types: "
            f"Types: {list(_READ)[::-1]}. Got '{shortened(content_type)}'."
        )
    return _READ[media.essence]


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


MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
     "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip
"""What pandas reads as a missing value."""
_MAX_COLUMNS = (
    1 << 16
)  # a byte may be a column, which takes a hundred of them; a wide model may have twice its own


def read_csv(body: bytes, features: int) -> Table:
    """The table of one body, for a model of so many features. Raises InvalidInput, with the line, or TooManyRows."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"Invalid input. Ensure that input is a valid UTF-8 encoded string. Error: '{error}'"
        ) from None
    lines = csv.reader(StringIO(text, newline=None), strict=True)
    rows: list[list[object]] = []
    names: list[str] = []
    try:
        for fields in lines:
            if not fields or (len(fields) == 1 and not fields[0].strip(" \t")):
                continue
            if not names:
                if len(fields) > max(_MAX_COLUMNS, 2 * features):
                    raise InvalidInput(
                        f"Invalid input. The first line names {len(fields)} columns; the model takes {features}"
                    )
                names = fields
            elif len(fields) > len(names):
                raise _not_csv(
                    f"Expected {len(names)} fields in line {lines.line_num}, saw {len(fields)}"
                )
            else:
                check_size(len(rows) + 1, 1, len(body))
                rows.append([ABSENT if field in MISSING else field for field in fields])
    except csv.Error as error:
        raise _not_csv(f"line {lines.line_num}: {error}") from None
    if not names:
        raise _not_csv("No columns to parse from file")
    table = of_lists(rows, names)
    return Table(table.names, table.count, table.column, texts=True)


def _not_csv(reason: str) -> InvalidInput:
    return InvalidInput(
        "Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid CSV-formatted Pandas "
        f"DataFrame produced using the `pandas.DataFrame.to_csv()` method. Error: '{reason}'"
    )
