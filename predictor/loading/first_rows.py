"""Rows to warm a version up with, where its artifact recorded none with their answers.

The likeliest to be computed comes first: the input example that MLflow keeps, what the training
data's profiles and the graph's own lists of categories suggest, and numbers that mean nothing.
None of them proves anything against a version: "" and 0 need not be categories that it knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from predictor.errors import RequestError
from predictor.loading.graph_categories import Categories, known_categories
from predictor.records.decoder import RowDecoder
from predictor.records.profile import FeatureProfile
from predictor.signature import Feature, Row, Signature, Value

_MAX_ROWS = 3  # of an input example: they are much alike
_MAX_GRAPH = 16 << 20  # bytes; a larger one takes too long to search for categories


def first_rows(
    signature: Signature,
    decoder: RowDecoder,
    profiles: Sequence[FeatureProfile],
    graph: bytes,
    input_example: bytes | None,
) -> Iterator[Row]:
    """Rows to try until one is computed, each made when it is asked for."""
    if input_example is not None:
        yield from example_rows(input_example, signature.features, decoder)
    usual = [profile.median for profile in profiles] or [None] * len(signature.features)
    yield _row(signature, usual, {})
    if len(graph) <= _MAX_GRAPH and (known := known_categories(graph, signature.ports)):
        yield _row(signature, usual, known)
    yield _row(signature, [1.0] * len(signature.features), {})


def example_rows(content: bytes, features: Sequence[Feature], decoder: RowDecoder) -> Iterator[Row]:
    """The first rows of MLflow's `input_example.json`, as far as they are records of this model.

    It is a frame (`columns` and `data`), rows as lists or objects, columns by name, or one of these
    under `inputs` or `instances`, as older versions wrote arrays.
    """
    try:
        example = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    names = [feature.name for feature in features]
    for record in list(_records(example, names))[:_MAX_ROWS]:
        known = {name: record[name] for name in names if name in record}
        try:
            yield decoder.record(msgspec.json.encode(known))
        except RequestError:
            continue


def _records(example: Any, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    if isinstance(example, dict):
        for wrapped in ("inputs", "instances"):
            if wrapped in example and wrapped not in names:
                example = example[wrapped]
    if isinstance(example, dict) and isinstance(example.get("data"), list):
        columns = example.get("columns")
        names = [str(column) for column in columns] if isinstance(columns, list) else names
        example = example["data"]
    if isinstance(example, dict):
        lists = [value if isinstance(value, list) else [value] for value in example.values()]
        names = [*example]
        example = [[_only(value) for value in row] for row in zip(*lists, strict=False)]
    for row in example if isinstance(example, list) else ():
        if isinstance(row, dict):
            yield row
        elif isinstance(row, list) and len(row) == len(names):
            yield dict(zip(names, row, strict=True))


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _row(signature: Signature, numbers: Sequence[float | None], known: Categories) -> Row:
    """A category where some are known, else the number where it fits the type, else a blank."""
    row = []
    for place, (feature, number) in enumerate(zip(signature.features, numbers, strict=True)):
        row.append(_value(feature, number, known.get(place)))
    return tuple(row)


def _value(feature: Feature, number: float | None, category: Value | None) -> Value:
    if feature.type == "string":
        return category if isinstance(category, str) else feature.blank
    suggested = number if category is None or isinstance(category, str) else float(category)
    if suggested is None or feature.type == "boolean":
        return feature.blank
    return round(suggested) if feature.type == "integer" else suggested
