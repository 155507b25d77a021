"""Tables: turn frames into tables of Arrow, one column for each feature. Imports pyarrow, which is an extra."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from predictor.model.answers import Label
from predictor.model.signature import label_name
from predictor.model.training_ranges import warning_text
from predictor.recording.frames import (
    Frame,
    OutcomesFrame,
    RecordedFeature,
    RowsFrame,
    ShadowAnswers,
    ShadowFrame,
    VersionFrame,
)

FEATURE = "feature_"
"""The prefix of a feature's column, so that no feature is named as another column."""
PROBABILITY = "probability_"
"""The prefix of a class's column of probabilities."""
METADATA = b"mlflow-hotswap"
"""The key of the version's description in the schema's metadata."""


def tables(frames: Iterable[Frame]) -> Iterator[tuple[VersionFrame, str, pa.Table]]:
    """A table for each version and day (UTC, `2026-11-29`), with the rows in order of time."""
    versions: list[VersionFrame] = []
    rows: dict[tuple[int, str], list[tuple[int, RowsFrame]]] = defaultdict(list)
    shadows: dict[int, tuple[ShadowFrame, ShadowAnswers]] = {}
    for place, frame in enumerate(frames):
        if isinstance(frame, VersionFrame):
            versions.append(frame)
        elif isinstance(frame, ShadowFrame):
            shadows |= {each.frame: (frame, each) for each in frame.answers}
        elif isinstance(frame, RowsFrame):
            day = datetime.fromtimestamp(frame.at, UTC).date().isoformat()
            rows[frame.version, day].append((place, frame))
    for (number, day), some in rows.items():
        version = versions[number]
        yield version, day, _table(version, some, shadows)


def outcome_tables(frames: Iterable[Frame]) -> Iterator[tuple[str, pa.Table]]:
    """A table of the reported outcomes for each day (UTC) on which they were received."""
    days: dict[str, list[OutcomesFrame]] = defaultdict(list)
    for frame in frames:
        if isinstance(frame, OutcomesFrame):
            day = datetime.fromtimestamp(frame.received_at / 1e6, UTC).date().isoformat()
            days[day].append(frame)
    for day, some in days.items():
        sizes = [len(each.ids) for each in some]
        received = [each.received_at for each, n in zip(some, sizes, strict=True) for _ in range(n)]
        keys = [each.key for each, n in zip(some, sizes, strict=True) for _ in range(n)]
        columns = {
            "id": pa.array([text for each in some for text in each.ids], pa.string()),
            "outcome": pa.array([text for each in some for text in each.outcomes], pa.string()),
            "outcome_type": pa.array([text for each in some for text in each.types], pa.string()),
            "at": pa.array([at for each in some for at in each.at], pa.timestamp("us", "UTC")),
            "received_at": pa.array(received, pa.timestamp("us", "UTC")),
            "key_name": pa.array(keys, pa.string()),
        }
        yield day, pa.table(columns)


def _table(
    version: VersionFrame,
    places: Sequence[tuple[int, RowsFrame]],
    shadows: Mapping[int, tuple[ShadowFrame, ShadowAnswers]],
) -> pa.Table:
    frames = [frame for _, frame in places]
    rows = sum(len(each.predictions) for each in frames)
    columns = {**_request_columns(frames), **_version_columns(version, rows)}
    features = _feature_columns(version, frames)
    columns |= {FEATURE + name: column for name, column in features.items()}
    predictions = [each for frame in frames for each in frame.predictions]
    columns["prediction"] = _predictions(version, predictions)
    columns |= _probability_columns(version, frames, predictions)
    columns["outputs"] = _outputs(frames)
    columns["warnings"] = _warnings(version, features, rows)
    answered = [(len(frame.predictions), shadows.get(place)) for place, frame in places]
    columns |= _shadow_columns(answered, columns["prediction"].type)
    described = json.dumps(
        {
            "features": [[each.name, each.dtype, each.kept] for each in version.features],
            "class_labels": version.class_labels,
            "positive_class": version.positive_class,
            "operating_point": version.threshold,
        }
    )
    return pa.table(columns).replace_schema_metadata({METADATA: described.encode()})


def _request_columns(frames: Sequence[RowsFrame]) -> dict[str, pa.Array]:
    ids, times, requests, protocols, keys = [], [], [], [], []
    for frame in frames:
        at = round(frame.at * 1e6)
        for request, key, protocol, count in zip(
            frame.request_ids, frame.keys, frame.protocols, frame.counts, strict=True
        ):
            ids += [request] if count == 1 else [f"{request}#{row}" for row in range(count)]
            times += [at] * count
            requests += [request] * count
            protocols += [protocol] * count
            keys += [key] * count
    return {
        "id": pa.array(ids, pa.string()),
        "time": pa.array(times, pa.timestamp("us", "UTC")),
        "request_id": pa.array(requests, pa.string()),
        "protocol": pa.array(protocols, pa.string()),
        "key_name": pa.array(keys, pa.string()),
    }


def _version_columns(version: VersionFrame, rows: int) -> dict[str, pa.Array]:
    named = {
        "model_name": version.model_name, "model_version": version.model_version, "run_id": version.run_id,
        "digest": f"sha256:{version.digest}",
    }  # fmt: skip
    return {name: pa.array([text] * rows, pa.string()) for name, text in named.items()}


def _feature_columns(version: VersionFrame, frames: Sequence[RowsFrame]) -> dict[str, pa.Array]:
    features = version.features
    if version.packed:
        packed = b"".join(frame.rows for frame in frames)  # type: ignore[misc]
        table = np.frombuffer(packed, np.float32).reshape(-1, max(1, len(features)))
        return {
            each.name: pa.array(np.ascontiguousarray(table[:, number]))
            for number, each in enumerate(features)
        }
    rows = [row for frame in frames for row in frame.rows]
    return {
        each.name: pa.array([row[number] for row in rows], _type(each))  # type: ignore[index]
        for number, each in enumerate(features)
    }


def _type(feature: RecordedFeature) -> pa.DataType:
    if feature.dtype in {"string", "object"}:
        return pa.string()
    # A double has every value of a float16, and pyarrow makes float16 from NumPy's only.
    return pa.from_numpy_dtype("float32" if feature.dtype == "float16" else feature.dtype)


def _predictions(version: VersionFrame, predictions: Sequence[Any]) -> pa.Array:
    kinds = {type(label) for label in version.class_labels}
    if kinds == {str} and not any(isinstance(each, list) for each in predictions):
        return pa.array(predictions, pa.string())
    return pa.array(predictions)


def _probability_columns(
    version: VersionFrame, frames: Sequence[RowsFrame], predictions: Sequence[Label]
) -> dict[str, pa.Array]:
    """The prediction's probability, and that of each class; none for a model without probabilities."""
    names = [label_name(label) for label in version.class_labels]
    if all(frame.scores is not None for frame in frames):
        table = np.array([row for frame in frames for row in frame.scores or ()], np.float64)
        columns = {label: number for number, label in enumerate(version.class_labels)}
        own = table[np.arange(len(table)), [columns[each] for each in predictions]]
        each = {name: table[:, number] for number, name in enumerate(names)}
        return {
            "probability": pa.array(own),
            **{PROBABILITY + name: pa.array(column.copy()) for name, column in each.items()},
        }
    rows: list[dict[str, float]] = []
    for frame in frames:
        given = frame.scores or frame.probabilities or [None] * len(frame.predictions)
        rows += [
            each if isinstance(each, dict) else dict(zip(names, each or (), strict=False))
            for each in given
        ]
    if not any(rows):
        return {}
    own_ones = [row.get(label_name(label)) for row, label in zip(rows, predictions, strict=True)]
    return {
        "probability": pa.array(own_ones, pa.float64()),
        **{
            PROBABILITY + name: pa.array([row.get(name) for row in rows], pa.float64())
            for name in names or sorted({name for row in rows for name in row})
        },
    }


def _shadow_columns(
    answered: Iterable[tuple[int, tuple[ShadowFrame, ShadowAnswers] | None]],
    label_type: pa.DataType,
) -> dict[str, pa.Array]:
    """What the shadow answered to the rows of each frame. A row that it was not given has no shadow version."""
    versions: list[str | None] = []
    digests: list[str | None] = []
    predictions: list[Any] = []
    probabilities: list[float | None] = []
    for count, found in answered:
        given = 0
        if found is not None:
            frame, answers = found
            given = len(answers.predictions)
            versions += [frame.version] * given
            digests += [f"sha256:{frame.digest}"] * given
            predictions += answers.predictions
            probabilities += answers.probabilities
        for column in (versions, digests, predictions, probabilities):
            column.extend([None] * (count - given))
    return {
        "shadow_version": pa.array(versions, pa.string()),
        "shadow_digest": pa.array(digests, pa.string()),
        # As the answered predictions, so that all files of a version have one schema.
        "shadow_prediction": _like(label_type, predictions),
        "shadow_probability": pa.array(probabilities, pa.float64()),
    }


def _like(label_type: pa.DataType, predictions: Sequence[Any]) -> pa.Array:
    """The shadow's predictions; null for one of another type or number of targets, which must not cost the others."""
    try:
        return pa.array(predictions, label_type)
    except (ValueError, TypeError, OverflowError):
        return pa.array([_or_null(label_type, each) for each in predictions], label_type)


def _or_null(label_type: pa.DataType, prediction: Any) -> Any:
    try:
        pa.scalar(prediction, label_type)
    except (ValueError, TypeError, OverflowError):
        return None
    return prediction


def _outputs(frames: Sequence[RowsFrame]) -> pa.Array:
    """The graph's other outputs, each row as JSON; null for none."""
    found: list[str | None] = []
    for frame in frames:
        rows = frame.outputs or [{}] * len(frame.predictions)
        found += [json.dumps(each) if each else None for each in rows]
    return pa.array(found, pa.string())


def _warnings(version: VersionFrame, columns: dict[str, pa.Array], rows: int) -> pa.Array:
    """What is outside the range of the training data, as responses say it."""
    found: dict[int, list[str]] = defaultdict(list)
    for feature in version.features:
        if feature.minimum is None or feature.maximum is None or feature.kept != "value":
            continue
        values = columns[feature.name].to_numpy(zero_copy_only=False)
        low, high = (np.asarray(each, values.dtype) for each in (feature.minimum, feature.maximum))
        for row in np.flatnonzero((values < low) | (values > high)).tolist():
            value = float(str(values[row]))
            found[row].append(warning_text(feature.name, value, feature.minimum, feature.maximum))
    none: list[str] = []
    return pa.array([found.get(row, none) for row in range(rows)], pa.list_(pa.string()))
