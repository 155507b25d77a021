"""From a table to the rows of the version that serves: MLflow's schema enforcement, and our own rules.

Columns go by their names wherever names say which is which; only a version that names no columns takes
them by position. https://mlflow.org/docs/latest/ml/model/signatures/#signature-enforcement
"""

from collections import Counter
from collections.abc import Container, Hashable, Sequence
from typing import Any

from predictor.records.faults import Fields, check_size
from predictor.scoring.scoring_errors import InvalidInput, SchemaNotMet
from predictor.scoring.tables import ABSENT, Table
from predictor.scoring.values import convert
from predictor.servable import Servable
from predictor.signature import Feature, Port, Row


def rows_of(table: Table, servable: Servable, body_bytes: int) -> list[Row]:
    """The rows, in the order of the table's, of a body of so many bytes.

    Raises InvalidInput, SchemaNotMet or TooManyRows.
    """
    features = servable.signature.features
    check_size(table.count, len(features), body_bytes)
    chosen = _columns(table, servable)
    if not table.count:
        raise InvalidInput("Invalid input. There is no row in it; at least one is needed")
    values = [
        convert(column, feature, texts=table.texts)
        for column, feature in zip(chosen, features, strict=True)
    ]
    return [*zip(*values, strict=True)]


def _columns(table: Table, servable: Servable) -> list[list[Any]]:
    """One column of the table for each feature, in their order."""
    features, declared = servable.signature.features, servable.python_function.inputs
    known = set(table.names)
    named = _partly_known(known, features)
    missing = [
        feature.name
        for feature in features
        # A table of other names only is not one of missing values.
        if feature.name not in known and (feature.required or (known and not named))
    ]
    ports = servable.signature.ports
    _check_once(table.names, [*(f.name for f in features), *(p.name for p in ports)])
    if declared in {"none", "tensors"} and known >= {port.name for port in ports}:
        return _of_tensors(table, ports, len(features))
    misspelt = _misspelt(table, known, servable.decoder.fields)
    if not missing and not misspelt:
        return [_column(table, feature.name, known) for feature in features]
    if declared in {"columns", "tensors"} or named or misspelt:
        missing = missing or [meant for _, meant in misspelt]
        hint = "".join(f" Send {m!r}, not {n!r}." for n, m in misspelt[:1])
        raise SchemaNotMet(f"Model is missing inputs {missing}.{_extra(known, features)}{hint}")
    if len(table.names) != len(features):
        shape = f"({table.count}, {len(table.names)})"
        reason = f"Shape of input {shape} does not match expected shape {(-1, len(features))}."
        raise (
            InvalidInput(f"Invalid input. {reason}") if declared == "none" else SchemaNotMet(reason)
        )
    if len(set(table.names)) < len(table.names):
        raise InvalidInput("Invalid input. Two columns have the same name")
    return [table.column(name) for name in table.names]


def _column(table: Table, name: str, known: Container[Hashable]) -> list[Any]:
    return table.column(name) if name in known else [ABSENT] * table.count


def _misspelt(table: Table, known: set[Hashable], fields: Fields) -> list[tuple[str, str]]:
    """Names that are those of features that some row lacks, but for their spelling."""
    texts = [name for name in table.names if isinstance(name, str) and name not in fields.places]
    return [
        (name, meant)
        for name, meant in fields.misspelt(texts, ())
        if meant not in known or ABSENT in table.column(meant)
    ]


def _partly_known(known: set[Hashable], features: Sequence[Feature]) -> bool:
    """Whether some names are those of features: then the others cannot go by position."""
    return any(feature.name in known for feature in features)


def _check_once(names: Sequence[Hashable], wanted: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    given = Counter(names)
    if twice := [name for name in dict.fromkeys(wanted) if given[name] > 1]:
        raise SchemaNotMet(f"These columns are given twice: {twice}.")


def _extra(known: set[Hashable], features: Sequence[Feature]) -> str:
    """How many names are no feature's. They are not repeated: in CSV without names, they are a patient's values."""
    extra = known - {feature.name for feature in features}
    if not extra:
        return ""
    asked = " Is the row of names missing?" if any(map(_reads_as_number, extra)) else ""
    return f" Note that there were extra inputs: {len(extra)}.{asked}"


def _reads_as_number(name: Hashable) -> bool:
    if not isinstance(name, str):
        return False
    try:
        float(name)
    except ValueError:
        return False
    return True


def _of_tensors(table: Table, ports: Sequence[Port], width: int) -> list[list[Any]]:
    """The columns of a table that has one column for each input of the graph, [N] or [N, width] each."""
    columns = []
    for port in ports:
        cells = table.column(port.name)
        wide = port.width or width
        rows = [[cell] if wide == 1 and not isinstance(cell, list) else cell for cell in cells]
        if not all(isinstance(row, list) and len(row) == wide for row in rows):
            if ABSENT in rows:
                raise InvalidInput(f"Invalid input. A row has no {port.name}")
            raise SchemaNotMet(f"Shape of input {port.name} does not match {(-1, wide)}.")
        columns += [[row[place] for row in rows] for place in range(wide)]
    return columns
