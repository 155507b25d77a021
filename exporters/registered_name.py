"""Names of registered models: what MLflow's registry refuses, said before hours of work are lost."""

import re

from exporters.errors import ExportError

_FORBIDDEN = re.compile(r"[/:]")


def check_registered_name(name: str) -> None:
    """Raise ExportError for a name that MLflow's registry refuses: empty, `.`, `..…`, or with `/` or `:`."""
    if not name.strip():
        raise ExportError("the registered model's name is empty: name the model")
    if name == "." or name.startswith(".."):
        raise ExportError(
            f"no model can be registered as {name!r}: choose a name that begins without dots"
        )
    if _FORBIDDEN.search(name):
        raise ExportError(
            f"no model can be registered as {name!r}: choose a name without '/' and ':', such as "
            f"{_FORBIDDEN.sub('-', name)!r}"
        )
