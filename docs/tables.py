"""The documents' tables that repeat the code: written from it, by `make tables`, and never by hand."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

from predictor.metrics.families import FAMILIES
from predictor.settings import Settings, variable

# The settings that most users change: README.md has these, docs/settings.md all.
COMMON = (
    "MLFLOW_TRACKING_URI",
    "PREDICTOR_MODEL_URI",
    "PREDICTOR_HOST",
    "PREDICTOR_PORT",
    "PREDICTOR_WORKERS",
    "PREDICTOR_POLL_SECONDS",
    "PREDICTOR_WHEN_NONE",
    "PREDICTOR_API_KEYS_FILE",
)


def write(root: Path) -> None:
    """Write the table of each page anew."""
    for name in PAGES:
        file = root / name
        file.write_text(rewritten(name, file.read_text()))


def rewritten(name: str, text: str) -> str:
    """The text of this page, with its table as the code has it now.

    Raises ValueError where the text has no such table.
    """
    table, rows = PAGES[name]
    return _replaced(text, table, rows())


def settings() -> list[list[str]]:
    """Each setting's variable, default and meaning."""
    return [
        [f"`{variable(name)}`", _default(field.default), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]


def common_settings() -> list[list[str]]:
    """The rows of `COMMON`. Raises KeyError where there is no such setting."""
    rows = {row[0]: row for row in settings()}
    return [rows[f"`{name}`"] for name in COMMON]


def metrics() -> list[list[str]]:
    """Each metric's name, type, labels and meaning."""
    return [
        [f"`{f.name}`", f.kind, ", ".join(f"`{label}`" for label in f.labels), f.help]
        for f in FAMILIES
    ]


# Each page, the name of its table, and the rows.
PAGES = {
    "README.md": ("common settings", common_settings),
    "docs/settings.md": ("settings", settings),
    "docs/metrics.md": ("metrics", metrics),
}


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
