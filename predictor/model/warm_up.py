"""Warm-up: compute first rows, so that later ones are fast, and observe the graph's outputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from predictor.errors import LoadError, RequestError
from predictor.model.decoder import RowDecoder
from predictor.model.first_runs import FirstRuns, Given, GraphClaims, observe_outputs
from predictor.model.graph_categories import Categories, known_categories
from predictor.model.graph_outputs import is_served, with_boolean_classes, with_declared_extra
from predictor.model.onnx_errors import one_line
from predictor.model.servable import Servable
from predictor.model.signature import Feature, Row, Signature, Value
from predictor.model.training_ranges import FeatureProfile

_MAX_ROWS = 3  # of an input example, whose rows are similar
_MAX_GRAPH = 16 << 20  # bytes; the search for categories takes too long in larger graphs


def first_rows(
    signature: Signature,
    decoder: RowDecoder,
    profiles: Sequence[FeatureProfile],
    graph: bytes,
    input_example: bytes | None,
) -> Iterator[Row]:
    """Rows to try in this order until the graph computes one: example, medians, known categories, ones."""
    if input_example is not None:
        yield from example_rows(input_example, signature.features, decoder)
    medians = [profile.median for profile in profiles] or [None] * len(signature.features)
    yield _row(signature, medians, {})
    if len(graph) <= _MAX_GRAPH and (known := known_categories(graph, signature.ports)):
        yield _row(signature, medians, known)
    yield _row(signature, [1.0] * len(signature.features), {})


def example_rows(content: bytes, features: Sequence[Feature], decoder: RowDecoder) -> Iterator[Row]:
    """The first rows of MLflow's `input_example.json` that are valid records of this model.

    The file has a data frame (`columns` and `data`), a list of rows (lists or objects), or columns by name.
    Older versions of MLflow wrote it as a member `inputs` or `instances`.
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
    """For each feature its known category; else its number, if it fits the type; else an empty value."""
    columns = enumerate(zip(signature.features, numbers, strict=True))
    return tuple(_value(feature, number, known.get(i)) for i, (feature, number) in columns)


def _value(feature: Feature, number: float | None, category: Value | None) -> Value:
    if feature.type == "string":
        return category if isinstance(category, str) else feature.blank
    suggested = number if category is None or isinstance(category, str) else float(category)
    if suggested is None or feature.type == "boolean":
        return feature.blank
    return round(suggested) if feature.type == "integer" else suggested


def first_computed(servable: Servable, rows: Iterable[Row]) -> tuple[Row, LoadError | None]:
    """The first row that the graph computes, and None; if all rows fail, the last one and its error."""
    row: Row = ()
    failure = None
    for row in rows:
        try:
            _try(servable, [row])
        except LoadError as error:
            failure = error
        else:
            return row, None
    return row, failure


def warm_up(
    servable: Servable, recorded: Sequence[Row], row: Row, declared: GraphClaims
) -> Servable:
    """The servable with the outputs observed for the `recorded` rows; if there are none, for `row`.

    Raises LoadError (stage `signature`, `warm_up` or `examples`).
    """
    single = [_try(servable, [each]) for each in recorded or [row]]
    runs = FirstRuns(single, _pair(servable, row), recorded=bool(recorded))
    servable = replace(servable, signature=observe_outputs(servable.signature, runs, declared))
    _answer_several(servable, [row] * 2)
    return servable


def without_first_row(servable: Servable, error: LoadError) -> Servable:
    """The servable of a graph that fails for every generated row, such as for unknown categories.

    Raises `error` if its outputs cannot be read without an observed row.
    """
    signature = with_boolean_classes(with_declared_extra(servable.signature))
    if signature.outputs.probabilities and not (signature.outputs.mapped or signature.class_labels):
        raise error
    # The axis of the rows is unknown, so each row is computed alone.
    outputs = replace(signature.outputs, unverified=True)
    return replace(servable, signature=replace(signature, outputs=outputs, mixes_rows=True))


def _answer_several(servable: Servable, rows: Sequence[Row]) -> None:
    try:
        answers = servable.answer(rows)
    except Exception as error:
        raise LoadError("warm_up", f"its outputs cannot be read: {one_line(error)}") from error
    if len(answers) != len(rows):
        raise LoadError("warm_up", f"the graph returns {len(answers)} answers for {len(rows)} rows")


def _pair(servable: Servable, row: Row) -> Given | None:
    """The outputs of two rows in one call; None if the graph takes one row at a time."""
    if servable.signature.one_row_at_a_time:
        return None
    try:
        return _try(servable, [row, row])
    except LoadError:
        return None


def _try(servable: Servable, rows: Sequence[Row]) -> Given:
    """All outputs of the graph for these rows, by name. Raises LoadError (stage `warm_up`)."""
    names = [port.name for port in servable.signature.results if is_served(port)]
    try:
        outputs = servable.compute(names, servable.signature.feed(rows))
    except Exception as error:
        raise LoadError("warm_up", f"ONNX Runtime cannot run it: {one_line(error)}") from error
    return dict(zip(names, outputs, strict=True))
