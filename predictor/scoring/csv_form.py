"""CSV bodies of `/invocations`: a header with the names of the columns, then rows.

Read as pandas reads it (`read_csv` with its defaults): commas, double quotes, any line end, empty lines
skipped. But a row that is longer than the header is refused, where pandas would take its first values for
an index and shift the others.
"""

import csv
from io import StringIO

from predictor.records.faults import check_size
from predictor.scoring.scoring_errors import InvalidInput
from predictor.scoring.tables import ABSENT, Table, of_lists

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
