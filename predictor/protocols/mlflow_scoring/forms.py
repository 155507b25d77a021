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
from predictor.protocols.mlflow_scoring.tables import ABSENT, Table, noun, of_lists

Media = Literal["json", "csv"]

_READ: dict[str, Media] = {"application/json": "json", "text/csv": "csv"}


def media_of(content_type: str | None, encoding: str | None) -> Media:
    """The kind of body; without a type, JSON. Raises UnsupportedMedia."""
    check_encoding(encoding)
    if not content_type:
        return "json"
    media = MediaType.parse(content_type)
    charset = media.parameters.get("charset", "utf-8")
    if charset.lower() != "utf-8":
        raise UnsupportedMedia(f"charset {shortened(charset)} is not supported; send UTF-8")
    if unknown := [name for name in media.parameters if name != "charset"]:
        names = shortened(", ".join(unknown))
        raise UnsupportedMedia(f"Content-Type has unknown parameters: {names}; leave them out")
    if media.essence not in _READ:
        raise UnsupportedMedia(
            f"Content-Type {shortened(media.essence)} is not supported; send application/json or text/csv"
        )
    return _READ[media.essence]


_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_EXPECTED = f"send a JSON object with exactly one of {', '.join(_FORMS)}"
_LLM = {"messages", "prompt", "input"}
"""MLflow takes a body with one of these for a request to a language model."""


@dataclass(frozen=True)
class Form:
    """One JSON body: its form, the form's content, and `params` (None for none)."""

    form: str
    content: Any
    params: Any = None


def read_json(body: bytes) -> Form:
    """Read one body. Raises InvalidInput, whose message never repeats a value."""
    parsed = _parse(body)
    if not isinstance(parsed, dict):
        raise InvalidInput(f"the body is {noun(parsed)}; {_EXPECTED}")
    if _LLM & parsed.keys():
        # MLflow reads the other members as columns.
        return Form("llm", parsed)
    given = [name for name in parsed if name in _FORMS]
    if len(given) != 1:
        raise InvalidInput(f"the body has {', '.join(given) or 'none'} of the forms; {_EXPECTED}")
    return Form(given[0], parsed[given[0]], parsed.get("params"))


def _parse(body: bytes) -> Any:
    try:
        # As `json.loads` decodes bytes.
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        return JsonText(text, _once).whole()
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # not JSON, or not Unicode
        reason = str(error)
    raise InvalidInput(f"the body is not valid JSON: {reason}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        given = Counter(name for name, _ in pairs)
        twice = next(name for name in members if given[name] > 1)
        raise InvalidInput(f"{short_name(twice)} is given twice in one JSON object")
    return members


MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
     "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip
"""What pandas reads as a missing value."""
# One byte may be a column, which takes a hundred in memory; a wide model may get twice its columns.
_MAX_COLUMNS = 1 << 16


def read_csv(body: bytes, features: int) -> Table:
    """The table of one body, for a model of so many features. Raises InvalidInput, with the line, or TooManyRows."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8: {error}") from None
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
                        f"the first line names {len(fields)} columns; the model takes {features}"
                    )
                names = fields
            elif len(fields) > len(names):
                raise InvalidInput(
                    f"line {lines.line_num} has {len(fields)} values; the first line names {len(names)} columns"
                )
            else:
                check_size(len(rows) + 1, 1, len(body))
                rows.append([ABSENT if field in MISSING else field for field in fields])
    except csv.Error as error:
        raise InvalidInput(f"the body is not valid CSV: line {lines.line_num}: {error}") from None
    if not names:
        raise InvalidInput("the body is empty; send a line of column names, then rows")
    table = of_lists(rows, names)
    return Table(table.names, table.count, table.column, texts=True)
