"""The metadata of an exported graph: what the predictor needs beside the graph itself."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from exporters.answers import Answers, PredictionKind, from_library
from exporters.contract import RecordedExample, linear_model, metadata
from exporters.errors import ExportError
from exporters.estimators import best_estimator
from exporters.parity import TOLERANCE, ParityReport
from exporters.table import MISSING_TEXT, Table
from exporters.training_bins import feature_bins, score_bins
from exporters.training_data import BACKGROUND_ROWS, Description, background, feature_profiles

_EXAMPLES = 5


@dataclass(frozen=True)
class Fitted:
    """A fitted model, the given rows, and what it predicts."""

    model: Any
    table: Table
    task: PredictionKind


@dataclass(frozen=True)
class Settings:
    """What an export is to hold besides the graph; everything has a default.

    `labels` [N] of the rows make the background a stratified sample. `positive_class` is a label as clients
    see it. `class_labels` are the texts that an encoder outside the model turned into 0, 1, … `descriptions`
    are by column name. `further_rows` are compared, too, and the recorded examples are from them. `options`
    are skl2onnx's, for the last step. `operating_point` goes into the metadata as it is. `out_of_fold` [N] are
    probabilities of the positive class from models that were not fitted on the row; their distribution is what
    live scores are compared with. `held_out` says that the model was not fitted on the rows. `page` has texts for
    the predictor's page: what it calls the values of a record, and what it says beside every answer.
    """

    labels: Any = None
    positive_class: Any = None
    class_labels: tuple[Any, ...] | None = None
    descriptions: Mapping[str, Description] = field(default_factory=dict)
    further_rows: Any = None
    options: Mapping[str, Any] | None = None
    operating_point: Mapping[str, Any] | None = None
    out_of_fold: NDArray[np.float64] | None = None
    page: Mapping[str, Any] | None = None
    held_out: bool = False
    tolerance: float = TOLERANCE
    background_rows: int = BACKGROUND_ROWS
    seed: int = 0
    failed: Callable[[ParityReport], None] = lambda _: None


DEFAULT = Settings()


def with_metadata(
    proto: onnx.ModelProto, fitted: Fitted, settings: Settings, examples: Table
) -> bytes:
    """The serialised graph with its metadata; the same model and rows give the same bytes.

    The recorded examples are chosen from the rows of `examples`.

    Raises ExportError for a positive class that is not among the classes.
    """
    table, task = fitted.table, fitted.task
    answers = from_library(fitted.model, task, table)
    recorded = answers if examples is table else from_library(fitted.model, task, examples)
    positive = _positive(task, settings)
    scores = score_bins(
        answers,
        task,
        None if positive is None else label_name(positive),
        [label_name(label) for label in task.served_classes],
        held_out=recorded if settings.held_out or examples is not table else None,
        out_of_fold=settings.out_of_fold,
    )
    if not table.one_tensor:  # a column that the model drops is no input
        read = {port.name for port in proto.graph.input}
        table, examples = table.only(read), examples.only(read)
    optional = [column for column in table.columns if column.optional]
    entries = {
        "feature_names": table.names if table.one_tensor else None,
        "optional_features": [column.name for column in optional] or None,
        "missing_text": MISSING_TEXT if any(each.kind == "text" for each in optional) else None,
        "class_labels": (list(task.served_classes) or None)
        if len(proto.graph.output) > 1
        else None,
        "positive_class": None if positive is None else label_name(positive),
        "recorded_examples": [
            asdict(each) for each in _examples(examples, recorded, task, positive)
        ],
        "feature_profiles": [
            asdict(each) for each in feature_profiles(table, settings.descriptions)
        ],
        "training_bins": {
            "features": [_given(each) for each in feature_bins(table)],
            "score": None if scores is None else _given(scores),
        },
        "background": _background(table, answers, task, settings) or None,
        "linear": _linear(fitted, positive),
        "operating_point": settings.operating_point and dict(settings.operating_point),
        "page": _page(settings.page),
    }
    onnx.helper.set_model_props(proto, metadata(entries))
    return bytes(proto.SerializeToString(deterministic=True))


def _page(given: Any) -> dict[str, Any] | None:
    """Raises ExportError for another form, which the predictor would not read."""
    if given is None:
        return None
    texts = given.values() if isinstance(given, Mapping) else [None]
    if not all(map(_is_text, texts)) or {*given} - {"values", "caution"}:
        raise ExportError(
            f"page {given!r} is not of the form "
            '{"values": …, "caution": …}, where each is a text or one text for each language such as {"en": …}.'
        )
    return dict(given)


def _is_text(given: Any) -> bool:
    texts = [*given, *given.values()] if isinstance(given, Mapping) else [given]
    return all(isinstance(each, str) for each in texts)


def _given(bins: Any) -> dict[str, Any]:
    """A dataclass as JSON, without what is None."""
    return asdict(bins, dict_factory=lambda pairs: {k: v for k, v in pairs if v is not None})


def label_name(label: Any) -> str:
    """A label as a key of JSON."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def plain_label(label: Any) -> Any:
    """A label as Python's own type; a whole float, which a graph has as an integer, is one."""
    value = label.item() if isinstance(label, np.generic) else label
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _positive(task: PredictionKind, settings: Settings) -> Any:
    if settings.positive_class is None:
        return None
    by_name = {label_name(label): label for label in task.served_classes}
    name = label_name(plain_label(settings.positive_class))
    if name not in by_name:
        raise ExportError(
            f"positive_class {settings.positive_class!r} is not among the classes "
            f"{', '.join(by_name) or 'of this model, which has none'}."
        )
    return by_name[name]


def _linear(fitted: Fitted, positive: Any) -> dict[str, Any] | None:
    """The coefficients, if the predictor can compute with them: all columns are numbers, none is missing."""
    if any(column.kind != "number" or column.optional for column in fitted.table.columns):
        return None
    task = fitted.task
    own = None
    if task.classes:
        if positive is None:
            return None  # the coefficients are those of the log-odds of a class
        own = task.classes[task.served_classes.index(positive)]
    linear = linear_model(best_estimator(fitted.model), own)
    return None if linear is None else asdict(linear)


def _background(
    table: Table, answers: Answers, task: PredictionKind, settings: Settings
) -> list[list[Any]]:
    labels = None
    if task.classes:
        labels = answers.predictions if settings.labels is None else np.asarray(settings.labels)
    return background(table, labels, count=settings.background_rows, seed=settings.seed)


def _examples(
    table: Table, answers: Answers, task: PredictionKind, positive: Any
) -> list[RecordedExample]:
    """Rows from the lowest to the highest probability of the positive class, or value."""
    usable = np.flatnonzero(~answers.refused)
    order = usable[np.argsort(_order(answers, task, positive)[usable], kind="stable")]
    picked = order[np.unique(np.linspace(0, len(order) - 1, _EXAMPLES).round().astype(int))]
    records = table.with_rows(table.frame.iloc[picked]).records()
    return [
        RecordedExample(record, _prediction(answers, row, task), _probabilities(answers, row, task))
        for row, record in zip(picked.tolist(), records, strict=True)
    ]


def _order(answers: Answers, task: PredictionKind, positive: Any) -> NDArray[Any]:
    if answers.scores is not None:
        # The decision function of two classes has one column.
        several = positive is not None and answers.scores.shape[1] == len(task.served_classes)
        return answers.scores[:, task.served_classes.index(positive) if several else -1]
    if answers.predictions.dtype.kind in "biuf":
        return answers.predictions.reshape(len(answers), -1)[:, 0]
    return np.arange(len(answers))


def _prediction(answers: Answers, row: int, task: PredictionKind) -> Any:
    prediction = answers.predictions[row]
    convert = plain_label if task.labels else float
    return [convert(each) for each in prediction] if np.ndim(prediction) else convert(prediction)


def _probabilities(answers: Answers, row: int, task: PredictionKind) -> dict[str, float]:
    if not task.probabilities or answers.scores is None:
        return {}
    names = [label_name(label) for label in task.served_classes]
    return dict(zip(names, answers.scores[row].tolist(), strict=True))
