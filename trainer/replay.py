"""Replay: compute recorded predictions again with a version's ONNX graph, and compare them to the last bit.

ONNX Runtime may use other instructions for a row alone than for several rows in one call, so a row's last bits can
depend on its company. Rows with the same time were computed in one call, and are so again. A row that differs then is
computed alone, and among others, because the record may lack rows of its call.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from exporters.answers import ONNXRUNTIME_ERRORS, session
from trainer.errors import ReplayError
from trainer.version_files import VersionContents

FEATURE, PROBABILITY, METADATA = "feature_", "probability_", b"mlflow-hotswap"
"""The names in the record: those of `predictor/recording/tables.py`."""
_MAX_ROWS = 512  # in one call of the service
_FLOATS = {"tensor(float16)": "float16", "tensor(float)": "float32", "tensor(double)": "float64"}
_LABELS = re.compile(r"tensor\((u?int\d+|bool|string)\)")
_PREDICTION, _OUTPUT = "prediction", "output "

Answer = dict[str, str]
"""The values of one row's answer by name, as JSON: texts are equal if all bits are."""


@dataclass(frozen=True)
class Recorded:
    """The rows of one file, or some of them, and what the file says of their version.

    `chosen` are the numbers of the rows to compare; the others may have been computed in one call with them.
    """

    source: str
    rows: pa.Table
    chosen: Sequence[int]
    features: tuple[str, ...]
    class_labels: tuple[Any, ...]

    @classmethod
    def read(cls, source: str, rows: pa.Table, chosen: Sequence[int]) -> "Recorded":
        """Raises ReplayError for another table, and for one with hashed values."""
        try:
            said = json.loads((rows.schema.metadata or {})[METADATA])
            features = [(str(name), str(kept)) for name, _, kept in said["features"]]
            labels = tuple(said["class_labels"])
        except (KeyError, ValueError, TypeError):
            raise ReplayError(f"{source} is no file of recorded predictions") from None
        if hashed := [name for name, kept in features if kept != "value"]:
            raise ReplayError(
                f"{source} has only hashes of {', '.join(hashed)} (PREDICTOR_RECORD_OMIT), so its predictions cannot "
                "be computed again"
            )
        return cls(source, rows, chosen, tuple(name for name, _ in features), labels)

    def one(self, name: str) -> str:
        """The value that all rows have in a column, such as the version."""
        return str(self.rows[name][0].as_py())

    def answers(self) -> dict[int, Answer]:
        """What was recorded, of the chosen rows by number."""
        names = [each for each in self.rows.column_names if each.startswith(PROBABILITY)]
        part = self.rows.select([_PREDICTION, *names, "outputs"]).take(pa.array(self.chosen))
        return dict(zip(self.chosen, map(_as_recorded, part.to_pylist()), strict=True))

    def calls(self) -> Iterator[list[int]]:
        """The numbers of the rows that the service computed in one call, for calls with a chosen row."""
        times = self.rows["time"].cast(pa.int64()).to_numpy()
        starts = np.flatnonzero(np.diff(times)) + 1
        chosen = {*self.chosen}
        for together in np.split(np.arange(len(times)), starts):
            for start in range(0, len(together), _MAX_ROWS):
                call = together[start : start + _MAX_ROWS].tolist()
                if not chosen.isdisjoint(call):
                    yield call


@dataclass(frozen=True)
class Difference:
    """A row whose answer differs: its id and, for each value that does, name, recorded and computed text."""

    id: str
    values: tuple[tuple[str, str, str], ...]


class Graph:
    """A version's graph, run as the service runs it."""

    def __init__(self, title: str, contents: VersionContents) -> None:
        """`title` names the version in errors. Raises ReplayError for a graph that ONNX Runtime does not load."""
        self.title = title
        self.digest = f"sha256:{contents.graph_sha256}"
        try:
            self._session = session(contents.graph_bytes, contents.external_data)
        except ONNXRUNTIME_ERRORS as error:
            raise ReplayError(f"ONNX Runtime cannot load {title}: {_one_line(error)}") from error
        self._ports = self._session.get_inputs()
        self._types = {each.name: each.type for each in self._session.get_outputs()}
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.features = _feature_names(self._ports, metadata, contents.signature_columns)

    def compare(self, recorded: Recorded) -> list[Difference]:
        """The chosen rows whose answers differ, in order. Raises ReplayError for other features."""
        columns = self._columns(recorded)
        expected = recorded.answers()
        ids = recorded.rows["id"].to_pylist()
        names = self._outputs(recorded)
        found = []
        for call in recorded.calls():
            computed = dict(zip(call, self._answers(recorded, names, columns, call), strict=True))
            for row in (each for each in call if each in expected):
                first = _differences(expected[row], computed[row])
                if first and not any(
                    expected[row] == self._answers(recorded, names, columns, again)[0]
                    for again in ([row], [row, row])
                ):
                    found.append(Difference(ids[row], first))
        return found

    def _columns(self, recorded: Recorded) -> list[NDArray[Any]]:
        """The values of each feature [N], in the order of the graph's inputs."""
        same = recorded.one("digest") == self.digest
        lacking = [name for name in self.features if name not in recorded.features]
        others = [name for name in recorded.features if name not in self.features]
        by_place = same and len(recorded.features) == len(self.features)
        if (lacking or others) and not by_place:
            raise self._other_features(recorded, lacking, others, same=same)
        names = recorded.features if by_place else self.features
        found = [recorded.rows[FEATURE + name].to_numpy() for name in names]
        takes_text = [
            port.type == "tensor(string)" for port in self._ports for _ in _places(port, found)
        ]
        wrong = [
            name
            for name, values, text in zip(names, found, takes_text, strict=False)
            if isinstance(values[0], str) != text
        ]
        if wrong:
            raise ReplayError(
                f"{', '.join(wrong)}: a text in the record and a number in {self.title}, or the other way round"
            )
        return found

    def _other_features(
        self, recorded: Recorded, lacking: Sequence[str], others: Sequence[str], *, same: bool
    ) -> ReplayError:
        left_out = "left out of the record (PREDICTOR_RECORD_OMIT)"
        if same or not others:
            why = f" were {left_out}" if same else f" were {left_out}, or are new"
            return ReplayError(
                f"{', '.join(lacking)}:{why}, so the predictions of {recorded.source} cannot be computed again with "
                f"{self.title}"
            )
        also = f", and it has {', '.join(lacking)}" if lacking else ""
        return ReplayError(
            f"{self.title} has other features: it lacks {', '.join(others)} of {recorded.source}{also}"
        )

    def _outputs(self, recorded: Recorded) -> tuple[str | None, str | None]:
        """The names of the outputs with the prediction and the probabilities; None for none.

        Outputs that the record has by name are neither.
        """
        rows = [json.loads(each) for each in recorded.rows["outputs"].to_pylist() if each]
        others = set.intersection(*map(set, rows)) if len(rows) == len(recorded.rows) else set()
        names = [name for name in self._types if name not in others]
        floats = [name for name in names if self._types[name] in _FLOATS]
        labels = [
            name
            for name in names
            if _LABELS.fullmatch(self._types[name]) and not name.startswith("decision_")
        ]
        maps = [name for name in names if self._types[name].startswith("seq(map(")]
        has_probabilities = any(each.startswith(PROBABILITY) for each in recorded.rows.column_names)
        scores = (maps or _named_first(floats, "prob")) if has_probabilities else []
        predictions = _named_first(labels, "label") or ([] if recorded.class_labels else floats)
        return next(iter(predictions), None), next(iter(scores), None)

    def _answers(
        self,
        recorded: Recorded,
        names: tuple[str | None, str | None],
        columns: Sequence[NDArray[Any]],
        rows: Sequence[int],
    ) -> list[Answer]:
        """The answers to some rows in one call; each alone if the call fails or does not fit."""
        try:
            given = self._session.run(None, self._feed([each[rows] for each in columns]))
            outputs = dict(zip(self._types, given, strict=True))
            return _answers(outputs, self._types, names, recorded.class_labels, len(rows))
        except (*ONNXRUNTIME_ERRORS, ValueError, IndexError) as error:
            if len(rows) == 1:
                return [{_PREDICTION: f"not computed: {_one_line(error)}"}]
            return [self._answers(recorded, names, columns, [row])[0] for row in rows]

    def _feed(self, columns: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        feed, start = {}, 0
        for port in self._ports:
            part = columns[start : start + len(_places(port, columns))]
            start += len(part)
            values = np.stack(part, axis=1).astype(_dtype(port.type))
            feed[port.name] = values[:, 0] if len(port.shape) == 1 else values
        return feed


def _answers(
    outputs: Mapping[str, Any],
    types: Mapping[str, str],
    names: tuple[str | None, str | None],
    class_labels: Sequence[Any],
    count: int,
) -> list[Answer]:
    """One answer for each row. Raises ValueError for outputs that do not fit."""
    label, scores = names
    columns: dict[str, Sequence[Any]] = {}
    if scores is not None:
        columns = _probabilities(outputs[scores], class_labels)
    if label is not None:
        columns[_PREDICTION] = _predictions(outputs[label], types[label], class_labels, count)
    elif columns:
        table = np.array([columns[PROBABILITY + _label_name(each)] for each in class_labels])
        columns[_PREDICTION] = [class_labels[place] for place in table.argmax(axis=0)]
    for name, given in outputs.items():
        if name not in names:
            columns[_OUTPUT + name] = _by_row(given, count)
    return [
        {name: _exact(value) for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]


def _probabilities(given: Any, class_labels: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """The probabilities of each class, clipped to [0, 1] as the service does."""
    if isinstance(given, list):  # maps
        names = list(given[0])
        table = np.array([[row[name] for name in names] for row in given], np.float64)
    else:
        table = given.reshape(len(given), -1)
        if table.shape[1] == 1 and len(class_labels) > 1:
            table = np.hstack([1 - table, table])
        names = list(class_labels)
    if len(names) != table.shape[1]:
        raise ValueError(f"{table.shape[1]} probabilities for {len(names)} classes")
    clipped = table.clip(0, 1).T.tolist()
    return {PROBABILITY + _label_name(name): row for name, row in zip(names, clipped, strict=True)}


def _predictions(
    given: NDArray[Any], type_: str, class_labels: Sequence[Any], count: int
) -> list[Any]:
    """One label or number for each row, or a list of them."""
    rows = _by_row(given, count)
    if type_ != "tensor(string)" and any(isinstance(each, str) for each in class_labels):
        return [class_labels[index] for index in rows]
    return rows


def _by_row(given: Any, count: int) -> list[Any]:
    """An output's rows as Python values; None for each row of an output without rows."""
    if isinstance(given, list):
        parts = [each.tolist() if isinstance(each, np.ndarray) else each for each in given]
        if len(parts) == count:
            return parts
        return [list(row) for row in zip(*parts, strict=True)]
    table = given
    if given.ndim > 1 and len(given) != count and given.shape[1] == count:
        table = np.moveaxis(given, 1, 0)
    if table.ndim == 0 or len(table) != count:
        return [None] * count
    rows: list[Any] = (table[:, 0] if table.shape[1:] == (1,) else table).tolist()
    return rows


def _as_recorded(row: Mapping[str, Any]) -> Answer:
    """The answer of a row of the record. A class's probability is null if another class's is there."""
    values = {
        name: _exact(value)
        for name, value in row.items()
        if name != "outputs" and value is not None
    }
    others = json.loads(row["outputs"]) if row["outputs"] else {}
    return values | {_OUTPUT + name: _exact(value) for name, value in others.items()}


def _differences(recorded: Answer, computed: Answer) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (name, value, computed.get(name, "-"))
        for name, value in recorded.items()
        if value != computed.get(name)
    )


def _exact(value: Any) -> str:
    """A value as JSON, which has every bit of a float64 (NaN and infinity, too)."""
    if isinstance(value, dict):
        value = {_label_name(key): each for key, each in value.items()}
    return json.dumps(value, ensure_ascii=False)


def _feature_names(
    ports: Sequence[Any], metadata: Mapping[str, str], declared: Sequence[str]
) -> tuple[str, ...]:
    """The features in the order of the graph's inputs, as the service names them."""
    if len(ports) > 1:
        plain = {_plain(name): name for name in declared}
        spread = [name for port in ports for name in _spread(port)]
        return tuple(plain.get(name, name) for name in spread)
    (port,) = ports
    names = json.loads(metadata["feature_names"]) if "feature_names" in metadata else [*declared]
    if _width(port) == 1 and (not names or port.name in names):
        return (port.name,)
    return tuple(names or (f"feature_{place}" for place in range(_width(port) or 0)))


def _spread(port: Any) -> list[str]:
    width = _width(port) or 1
    return [port.name] if width == 1 else [f"{port.name}_{place}" for place in range(width)]


def _plain(name: str) -> str:
    identifier = re.sub(r"\W", "_", name)
    return f"_{identifier}" if identifier[:1].isdigit() else identifier


def _width(port: Any) -> int | None:
    """The number of columns of an input; None if it varies."""
    if len(port.shape) == 1:
        return 1
    found = port.shape[1] if len(port.shape) > 1 else None
    return found if isinstance(found, int) else None


def _places(port: Any, columns: Sequence[Any]) -> range:
    return range(_width(port) or len(columns))


def _dtype(type_: str) -> Any:
    name = type_.removeprefix("tensor(").removesuffix(")")
    return object if name == "string" else np.dtype(_FLOATS.get(type_, name))


def _named_first(names: Sequence[str], part: str) -> list[str]:
    return sorted(names, key=lambda name: part not in name.lower())


def _label_name(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
