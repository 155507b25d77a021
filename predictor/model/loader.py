"""Loader: turn the files of a version into a servable, and replay its recorded examples."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from predictor import clock
from predictor.errors import LoadError, RequestError, Stage
from predictor.model.answers import Answer
from predictor.model.artifact import Fetched
from predictor.model.decoder import RowDecoder
from predictor.model.first_runs import GraphClaims
from predictor.model.graph import Labels, read_graph
from predictor.model.graph_categories import only_categories, refuses_values
from predictor.model.graph_outputs import read_outputs
from predictor.model.graph_signature import MlflowSignature, read_features
from predictor.model.linear import Linear, LinearEntry, table
from predictor.model.mlmodel import DeclaredOutputs, PythonFunction, read_mlmodel
from predictor.model.operating_point import OperatingPoint
from predictor.model.page_texts import PageTexts
from predictor.model.servable import (
    Interrupt,
    RecordedExample,
    Runs,
    Servable,
    interruptible,
    measure,
    open_session,
    unwatched,
)
from predictor.model.signature import Port, Row, Signature, label_name
from predictor.model.training_bins import TrainingBins
from predictor.model.training_ranges import (
    FeatureProfile,
    check_profiles,
    features_in_range,
    read_background,
)
from predictor.model.warm_up import first_computed, first_rows, warm_up, without_first_row
from predictor.model_version import ModelVersion

During = Callable[[Stage], AbstractContextManager[object]]
_MAX_GRAPH_FOR_HINTS = 16 << 20  # bytes; reading a larger graph for a hint takes too long
_TOLERANCE = 1e-5  # absolute for probabilities, relative for values of a regressor


class _Metadata(msgspec.Struct, frozen=True):
    """The graph's metadata. Our exporter writes all entries; other graphs have few or none."""

    feature_names: list[str] | None = None
    optional_features: list[str] = []
    missing_text: str | None = None
    class_labels: list[str | int | bool] | None = None
    positive_class: str | None = None
    recorded_examples: list[RecordedExample] = []
    feature_profiles: list[FeatureProfile] = []
    background: list[list[Any]] = []
    training_bins: TrainingBins = TrainingBins()
    linear: LinearEntry | None = None
    operating_point: dict[str, Any] | None = None
    page: PageTexts = PageTexts()


def load(
    version: ModelVersion,
    fetched: Fetched,
    interrupt: Interrupt,
    *,
    during: During = nullcontext,
    runs: Runs | None = None,
    ignore_unknown: bool = False,
) -> Servable:
    """Build a servable and check that it computes rows. Blocks; large models take long.

    Each stage runs within `during(stage)`. `runs` makes the servable's calls of ONNX Runtime; by default
    they have no time limit. With `ignore_unknown`, records may have further fields.

    Raises LoadError with the stage: `session`, `signature`, `warm_up` or `examples`; also soon after
    `interrupt` is thrown.
    """
    started = time.perf_counter()
    with during("session"):
        session = open_session(fetched, interrupt)
    with during("signature"):
        metadata = _metadata(session)
        mlmodel = read_mlmodel(fetched.mlmodel)
        signature, claims = _signature(session, metadata, fetched, mlmodel)
        metadata.training_bins.check(signature.features, signature.class_labels)
        servable = Servable(
            version, fetched.artifact, signature,
            _decoder(signature, metadata.feature_profiles, ignore_unknown=ignore_unknown),
            session, interruptible(interrupt), tuple(metadata.recorded_examples),
            tuple(metadata.feature_profiles),
            read_background(metadata.background, signature.features), PythonFunction.read(mlmodel),
        )  # fmt: skip
    rows = [_row(servable, example) for example in servable.examples]
    with during("warm_up"):
        servable, row = _warmed_up(servable, rows, fetched, claims)
    DeclaredOutputs.read(mlmodel).check(servable.signature)
    with during("examples"):
        _replay(servable, rows)
    point = metadata.operating_point
    return replace(
        servable, linear=_proven_linear(servable, metadata.linear),
        operating_point=None if point is None else OperatingPoint.read(point, servable.signature),
        categories=only_categories(fetched.graph, signature.ports), page=metadata.page,
        training_bins=metadata.training_bins, cost=measure(servable.answer, row), load_seconds=time.perf_counter() - started,
        loaded_at=clock.now(), runs=runs or unwatched(),
    )  # fmt: skip


def _decoder(
    signature: Signature, profiles: Sequence[FeatureProfile], *, ignore_unknown: bool
) -> RowDecoder:
    check_profiles(profiles, signature.features)
    in_range = features_in_range(signature.features, profiles)
    return RowDecoder(
        signature.features,
        signature.pack,
        in_range,
        signature.ignored,
        ignore_unknown=ignore_unknown,
    )


def _warmed_up(
    servable: Servable, recorded: Sequence[Row], fetched: Fetched, claims: GraphClaims
) -> tuple[Servable, Row]:
    """The servable with its observed outputs, and a row that it computes (or fails to, if all fail)."""
    if recorded:
        return warm_up(servable, recorded, recorded[0], claims), recorded[0]
    signature, graph = servable.signature, fetched.graph
    rows = first_rows(signature, servable.decoder, servable.profiles, graph, fetched.input_example)
    row, error = first_computed(servable, rows)
    if error is None:
        return warm_up(servable, (), row, claims), row
    values = any(feature.type in {"string", "integer"} for feature in signature.features)
    if values or refuses_values(graph):
        return without_first_row(servable, error), row
    raise error


def _metadata(session: Any) -> _Metadata:
    entries = session.get_modelmeta().custom_metadata_map
    try:
        ours = {
            name: msgspec.json.decode(entries[name])
            for name in _Metadata.__struct_fields__
            if name in entries
        }
        return msgspec.convert(ours, _Metadata)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise LoadError("signature", f"the graph's metadata is not readable: {error}") from error


def _signature(
    session: Any, metadata: _Metadata, fetched: Fetched, mlmodel: Mapping[str, Any]
) -> tuple[Signature, GraphClaims]:
    """The declared signature, and what the graph declares about its outputs."""
    ports = tuple(_port(node) for node in session.get_inputs())
    results = tuple(_port(node) for node in session.get_outputs())
    labels: Labels = tuple(metadata.class_labels or ())
    outputs = read_outputs(results, labels)
    declared = MlflowSignature.read(mlmodel)
    features = read_features(
        ports, metadata.feature_names, declared, metadata.optional_features, metadata.missing_text
    )
    names = {feature.name for feature in features}
    ignored = tuple(column for column in declared.columns if column not in names)
    operators: Mapping[str, str] = {}
    if not labels and (outputs.label is not None or len(fetched.graph) <= _MAX_GRAPH_FOR_HINTS):
        facts = read_graph(fetched.graph)
        labels = facts.class_labels if outputs.label is not None else ()
        operators = facts.operators
    _check_classes(labels, metadata.positive_class)
    signature = Signature(
        features, ports, outputs, labels, metadata.positive_class, results, ignored=ignored
    )
    return signature, GraphClaims(tuple(metadata.class_labels or ()), operators)


def _check_classes(labels: Labels, positive_class: str | None) -> None:
    """Raise LoadError for labels of several types, and for labels that are equal as JSON keys."""
    if len({type(label) for label in labels}) > 1:
        raise LoadError("signature", "class_labels has texts and numbers; they must be of one type")
    names = [label_name(label) for label in labels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise LoadError("signature", f"class_labels has {', '.join(twice)} more than once")
    if positive_class is not None and names and positive_class not in names:
        reason = f"positive_class {positive_class!r} is not among the class labels"
        raise LoadError("signature", reason)


def _port(node: Any) -> Port:
    return Port(
        node.name,
        node.type,
        tuple(d if isinstance(d, int) and d >= 0 else None for d in node.shape),
    )


def _proven_linear(servable: Servable, entry: LinearEntry | None) -> Linear | None:
    """The declared coefficients, checked on the background's rows. Raises LoadError."""
    rows = servable.background
    if entry is None or not rows:
        return None
    linear = Linear.read(entry, servable.signature)
    linear.check(table(servable.signature, rows), servable.answer(rows))
    return linear


def _replay(servable: Servable, rows: Sequence[Row]) -> None:
    """Compute the rows of the recorded examples. Raises LoadError if an answer differs."""
    for number, (example, answer) in enumerate(
        zip(servable.examples, servable.answer(rows) if rows else (), strict=True), 1
    ):
        if isinstance(answer, RequestError):
            raise LoadError("examples", f"recorded example {number} fails: {answer}")
        if not _agrees(example, answer):
            raise LoadError(
                "examples",
                f"recorded example {number} gives {answer.prediction} {answer.probabilities or ''}; at "
                f"export it gave {example.prediction} {example.probabilities or ''}",
            )


def _row(servable: Servable, example: RecordedExample) -> Row:
    try:
        return servable.decoder.record(msgspec.json.encode(example.record))
    except RequestError as error:
        raise LoadError(
            "examples", f"a recorded example is not a record of this model: {error}"
        ) from error


def _agrees(example: RecordedExample, answer: Answer) -> bool:
    given, recorded = answer.prediction, example.prediction
    if isinstance(given, list) and isinstance(recorded, list):
        if len(given) != len(recorded) or not all(map(_same, given, recorded)):
            return False
    elif not _same(given, recorded):
        return False
    probabilities = answer.probabilities or {}
    return all(
        abs(probabilities.get(label, np.inf) - p) <= _TOLERANCE
        for label, p in example.probabilities.items()
    )


def _same(given: object, recorded: object) -> bool:
    """Whether two predictions are equal: numbers except for rounding, labels exactly."""
    if isinstance(given, float) and isinstance(recorded, int | float):
        return bool(np.isclose(given, recorded, rtol=_TOLERANCE, atol=_TOLERANCE))
    return given == recorded
