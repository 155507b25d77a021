"""Members that are given twice: JSON decoders keep the last of them without a word."""

from typing import Any

from predictor.open_inference.inference_errors import InvalidInference, quoted
from predictor.records.json_text import JsonText


def check_members(text: bytes, members: int) -> None:
    """Raise InvalidInference if an object of this JSON has a name twice; `members` were read, of all objects.

    Each member has one colon. A colon in a string only costs a second, slower look.
    """
    if text.count(b":") == members:
        return
    try:
        JsonText(text.decode(), _once).whole()
    except (ValueError, RecursionError) as error:
        raise InvalidInference(
            f"the body is not JSON that can be read: {type(error).__name__}"
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidInference(f"{quoted(name)} is given twice in one object")
        names.add(name)
