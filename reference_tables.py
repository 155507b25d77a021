"""Write the tables in the documents that repeat the code: settings, metrics and log events (`make tables`)."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

from predictor.log_events import EVENTS, LIBRARY_LINES
from predictor.metrics.families import FAMILIES
from predictor.settings import Settings, variable

ROOT = Path(__file__).parent
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
    return [[f"`{f.name}`", f.kind, _code(f.labels), f.help] for f in FAMILIES]


def log_events() -> list[list[str]]:
    """Each log event's name, level, meaning and fields, and what to do about it."""
    return [
        [
            f"`{each.name}`",
            f"{each.level}, then {each.repeated}" if each.repeated else each.level,
            each.when,
            _code(each.fields),
            each.action,
        ]
        for each in EVENTS
    ]


def library_lines() -> list[list[str]]:
    """How lines of libraries begin, their level and meaning."""
    return [[_code(each.starts), each.level, each.when] for each in LIBRARY_LINES]


# Each table by its name, with its page and its rows.
TABLES = {
    "common settings": ("README.md", common_settings),
    "settings": ("docs/settings.md", settings),
    "metrics": ("docs/metrics.md", metrics),
    "log events": ("docs/logs.md", log_events),
    "library lines": ("docs/logs.md", library_lines),
}


def rewritten(text: str, name: str) -> str:
    """The text of a page with this table as the code has it now; its heading and rule stay.

    Raises ValueError where the text has no such table.
    """
    before, mark, rest = text.partition(f"<!-- {name}:")
    comment, heading, rule, *lines = rest.split("\n")
    if not mark or not rule.startswith("|"):
        raise ValueError(f"there is no table after <!-- {name}: … -->")
    while lines and lines[0].startswith("|"):
        lines.pop(0)
    table = [f"| {' | '.join(row)} |" for row in TABLES[name][1]()]
    return before + mark + "\n".join([comment, heading, rule, *table, *lines])


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    for table, (page, _) in TABLES.items():
        file = ROOT / page
        file.write_text(rewritten(file.read_text(), table))
