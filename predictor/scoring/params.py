"""`params` of a request: checked against what the signature declares, as MLflow checks them.

No flavour that is served here uses them, so they change no answer. `_enforce_params_schema` of MLflow 3.17.
"""

from collections.abc import Sequence
from typing import Any

from predictor.loading.python_function import Param
from predictor.scoring.scoring_errors import SchemaNotMet

_TAKEN: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "datetime": (str,),
}


def check_params(params: Any, declared: Sequence[Param]) -> None:
    """Raise SchemaNotMet for declared parameters of another type; those that nobody declared are ignored."""
    if not declared or params is None:
        return
    if not isinstance(params, dict):
        raise SchemaNotMet(f"Parameters must be a dictionary. Got type '{type(params).__name__}'.")
    if wrong := [each.name for each in declared if not _fits(params.get(each.name), each)]:
        raise SchemaNotMet(f"Invalid parameters found: {wrong}")


def _fits(value: Any, declared: Param) -> bool:
    if value is None:
        return True
    if declared.listed:
        return isinstance(value, list) and all(_is(each, declared) for each in value)
    return _is(value, declared)


def _is(value: Any, declared: Param) -> bool:
    taken = _TAKEN.get(declared.type, (object,))
    return isinstance(value, taken) and (not isinstance(value, bool) or bool in taken)
