"""The README's tables that repeat the code: written from it, by `make tables`, and never by hand."""

from collections.abc import Iterable

from pydantic import SecretStr

from predictor.counting.families import FAMILIES
from predictor.settings import Settings, variable


def rewritten(text: str) -> str:
    """The same text with each table behind its `<!-- NAME: … -->` as the code has it now."""
    for name, rows in {"settings": settings(), "metrics": metrics()}.items():
        text = _replaced(text, name, rows)
    return text


def settings() -> list[list[str]]:
    """Each setting's variable, default and meaning."""
    return [
        [f"`{variable(name)}`", _default(field.default), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]


def metrics() -> list[list[str]]:
    """Each metric's name, type, labels and meaning."""
    return [
        [f"`{f.name}`", f.kind, ", ".join(f"`{label}`" for label in f.labels), f.help]
        for f in FAMILIES
    ]


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _replaced(text: str, name: str, rows: Iterable[list[str]]) -> str:
    """The table's heading and rule stay as they are. Raises ValueError where there is no table."""
    before, mark, rest = text.partition(f"<!-- {name}:")
    comment, heading, rule, *lines = rest.split("\n")
    if not mark or not rule.startswith("|"):
        raise ValueError(f"there is no table behind <!-- {name}: … -->")
    while lines and lines[0].startswith("|"):
        lines.pop(0)
    table = [f"| {' | '.join(row)} |" for row in rows]
    return before + mark + "\n".join([comment, heading, rule, *table, *lines])
