"""The first steps of a pipeline: fill gaps, scale numbers, and turn texts into numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skl2onnx.sklapi import CastTransformer
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainer.table import Column

MAX_WORDS = 200
# A word is what stands between blanks and punctuation. Capital letters count, and classes such as `\w` are
# not used: the regular expressions of Python and ONNX Runtime, and their small letters, differ beyond ASCII.
WORD = r"""[^ \t\r\n.,;:!?()\[\]{}<>"'/\\-]+"""


def preparation(columns: Sequence[Column], *, scaled: bool) -> list[tuple[str, Any]]:
    """Named steps from a table's columns to numbers, without gaps, and scaled if requested.

    A table of numbers has simple steps, or none; texts need a ColumnTransformer.
    """
    used = [column for column in columns if column.use != "dropped"]
    numbers = [column for column in used if column.use == "number"]
    if len(numbers) == len(used):
        return _steps(numbers, scaled=scaled)
    return [("prepare", _by_column(used, scaled=scaled))]


def _steps(numbers: Sequence[Column], *, scaled: bool) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    if any(column.missing for column in numbers):
        steps.append(("impute", SimpleImputer(strategy="median")))
    if scaled:
        steps.append(("scale", StandardScaler()))
    return steps


def _by_column(columns: Sequence[Column], *, scaled: bool) -> ColumnTransformer:
    # Booleans with gaps are numbers; others have inputs of their own type.
    flags = [each.name for each in columns if each.kind == "boolean" and not each.missing]
    numbers = [each for each in columns if each.use == "number" and each.name not in flags]
    categories = [each for each in columns if each.use == "category"]
    parts: list[tuple[str, Any, Any]] = []
    if numbers:
        cast = ("cast", CastTransformer(dtype=np.float32))
        steps = Pipeline([cast, *_steps(numbers, scaled=scaled)])
        parts.append(("numbers", steps, [each.name for each in numbers]))
    if flags:
        parts.append(("flags", CastTransformer(dtype=np.float32), flags))
    if categories:
        known = [np.array(each.categories, dtype=object) for each in categories]
        encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
        parts.append(("categories", encoder, [each.name for each in categories]))
    for place, column in enumerate(each for each in columns if each.use == "words"):
        words = TfidfVectorizer(lowercase=False, token_pattern=WORD, max_features=MAX_WORDS)
        parts.append((f"words_{place}", words, column.name))
    return ColumnTransformer(parts, sparse_threshold=0)
