"""UCI's `wdbc.data`: no header; id, diagnosis M or B, then 30 numbers, separated by commas."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
# One naming, in UCI's order: ten means, ten standard errors, ten worst values.
FEATURES = (
    *(f"mean_{measure}" for measure in MEASURES),
    *(f"{measure}_error" for measure in MEASURES),
    *(f"worst_{measure}" for measure in MEASURES),
)
DIAGNOSES = {"M": "malignant", "B": "benign"}
# A server is given float32; a value beyond it could never be served.
LARGEST = float(np.finfo(np.float32).max)


def read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """The file's features, float64 [N, 30], and diagnoses, strings [N], in the file's order.

    Raises DataError, with the number of the line that is not in UCI's format.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise DataError(path, f"it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(path, "it is not a text file") from error
    if not lines:
        raise DataError(path, "line 1 is missing: the file is empty")
    features = np.empty((len(lines), len(FEATURES)))
    diagnoses: list[str] = []
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        try:
            identifier, diagnosis, features[number - 1] = _parse(line)
        except ValueError as error:
            raise DataError(path, f"line {number} {error}") from error
        if identifier in first_seen:
            earlier = first_seen[identifier]
            raise DataError(path, f"line {number} repeats id {identifier} of line {earlier}")
        first_seen[identifier] = number
        diagnoses.append(diagnosis)
    return features, np.array(diagnoses)


def _parse(line: str) -> tuple[str, str, list[float]]:
    """Id, diagnosis and numbers of one line; raises ValueError if it is not valid."""
    fields = [field.strip() for field in line.split(",")]
    expected = 2 + len(FEATURES)
    if len(fields) != expected:
        raise ValueError(f"has {len(fields)} columns, not {expected} (id, diagnosis, 30 numbers)")
    identifier, letter, *numbers = fields
    if not identifier:
        raise ValueError("has no id in column 1")
    if letter not in DIAGNOSES:
        raise ValueError(f"has diagnosis {letter!r} in column 2, which is neither M nor B")
    named = zip(FEATURES, numbers, range(3, expected + 1), strict=True)
    return identifier, DIAGNOSES[letter], [_number(*each) for each in named]


def _number(feature: str, text: str, column: int) -> float:
    try:
        # float() reads 1_0 as ten; a measurement is not written so.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise ValueError(f"has {text!r} in column {column} ({feature}), which is not a number")
    return value
