"""The tables of docs/logs.md, for the tests that compare them with the code and with real logs."""

import re
from pathlib import Path

_PAGE = Path(__file__).parent / "logs.md"


def rows(name: str) -> list[list[str]]:
    """The cells of the table behind the comment `<!-- NAME: … -->`, without its heading."""
    _, mark, rest = _PAGE.read_text().partition(f"<!-- {name}:")
    table, _, _ = rest.partition("\n")[2].partition("\n\n")
    if not mark or not table.startswith("|"):
        raise ValueError(f"there is no table behind <!-- {name}: … -->")
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def coded(cell: str) -> list[str]:
    """What is written as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def is_documented(event: str) -> bool:
    """Whether a line with this event is one of ours, or begins as one of a library's."""
    ours = {coded(row[0])[0] for row in rows("events")}
    others = tuple(each for row in rows("others") for each in coded(row[0]))
    return event in ours or event.startswith(others)
