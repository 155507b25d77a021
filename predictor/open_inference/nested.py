"""Data of a tensor in JSON: flat in row-major order, or nested as the shape is."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from predictor.open_inference.inference_errors import InvalidInference


def flat(data: Any, shape: Sequence[int], place: str) -> list[Any]:
    """The elements in row-major order; whether they are any is not looked at.

    Raises InvalidInference where lists within the list are not the rows of the shape.
    """
    if not isinstance(data, list):
        raise InvalidInference(f"{place}: expected a list")
    if list not in map(type, data):
        return data
    are_rows = len(shape) == 2 and len(data) == shape[0]  # noqa: PLR2004  no model takes more
    if not are_rows or any(type(row) is not list or len(row) != shape[1] for row in data):
        raise InvalidInference(f"{place}: nested otherwise than the shape says")
    return list(chain.from_iterable(data))
