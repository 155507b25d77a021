"""`python -m trainer convert`: export a model that MLflow has already, and register the result."""

import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from exporters.errors import ExportError
from exporters.export import Export, export
from exporters.metadata import Settings, plain_label
from exporters.mlflow_model import evaluated
from exporters.parity import TOLERANCE
from exporters.tags import CONVERTED_FROM
from trainer import tag_names
from trainer.conversion import Converted, equal_version, register_converted
from trainer.errors import TrainerError
from trainer.mlflow_server import connect, mlflow_border
from trainer.model_files import ModelFiles, differences, inspect, load, read_description
from trainer.model_rows import Rows, actual_values, column_types, from_example, from_table
from trainer.model_source import Source, download, find
from trainer.registry import check_model_name
from trainer.table import Table, read_table
from trainer.terminal import printable


def convert(
    uri: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_URI",
            help="models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME@ALIAS, models:/m-ID or "
            "runs:/RUN/PATH.",
            show_default=False,
        ),
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="CSV or Parquet: rows like its training rows.  [default: its input example]",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="The column of --data that the model predicts; it is no feature."),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="The rows were not used in the fit: measure the metrics of the gates on them.",
        ),
    ] = False,
    positive: Annotated[
        str | None, typer.Option(help="The class that is explained, and measured.")
    ] = None,
    class_labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="The names of the classes 0, 1, … if an encoder outside the model numbered them.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="How much a probability may differ, or a value relative to the spread."
        ),
    ] = TOLERANCE,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load the files, even if that can run code of theirs.")
    ] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Register the result as the next version.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="With --register: also if an equal version exists already."),
    ] = False,
    model_name: Annotated[
        str | None,
        typer.Option(
            "--model-name", "--model", help="The registered model.  [default: that of MODEL_URI]"
        ),
    ] = None,
) -> None:
    """Export a model that MLflow has already to ONNX, and prove that the predictions are the same.

    It takes models of scikit-learn, LightGBM, XGBoost and CatBoost. With --register the result is the next
    version of the same registered model, with the tags, the run and the metrics of the original; else it
    only says what it found. Nothing is registered if a prediction differs.
    """
    if target is not None and data is None:
        raise typer.BadParameter("--target is a column of --data, which is missing")
    if model_name is not None:
        check_model_name(model_name)
    if held_out and target is None:
        raise typer.BadParameter("--held-out needs --target, the column of what is true")
    labels = tuple(each.strip() for each in class_labels.split(",")) if class_labels else None
    settings = Settings(positive_class=positive, class_labels=labels, tolerance=tolerance)
    table = None if data is None else read_table(data)
    client = connect()
    source = find(client, uri)
    name = model_name or source.model_name
    if register and name is None:
        raise TrainerError(f"{uri} is no registered version: name the model with --model-name NAME")
    with tempfile.TemporaryDirectory() as folder:
        files = _files(source, download(client, source, Path(folder)))
        _require_trust(source, files, trust=trust)
        model = load(files, source.title)
        rows = _rows(model, files, table, target)
        proven = _export(model, rows, replace(settings, labels=rows.labels), source)
    _report(proven, rows)
    converted = Converted(source, proven)
    if held_out:
        converted = _measured(converted, rows, positive)
    equal = None if name is None or again else equal_version(client, converted, name)
    if equal is not None:
        typer.echo(
            f"version {equal} of {name} is equal and was converted from {source.uri}, too; nothing was "
            "registered (--again registers it once more)"
        )
    elif register and name is not None:
        with mlflow_border(client, f"register the converted {source.title}"):
            number = register_converted(client, converted, name)
        typer.echo(f"registered: version {number} of {name}, converted from {source.uri}")
    else:
        _would(converted, name)


def _files(source: Source, folder: Path) -> ModelFiles:
    """What is in the folder; ends the command if there is nothing to convert."""
    description = read_description(folder, source.title)
    if "onnx" in description.flavors:
        proven = source.tags.get(tag_names.PARITY) == "passed"
        parity = " whose parity with the library has passed" if proven else ""
        typer.echo(
            f"{source.title} has an onnx flavour already{parity}; nothing was changed. It can be promoted "
            "as it is"
        )
        raise typer.Exit
    files = inspect(folder, description, source.title)
    typer.echo(f"{source.title}: {files.library}, {files.form}; {source.made_by}")
    if found := differences(files):
        typer.echo(
            f"WARNING: it was made with {', '.join(found)}; install these versions if it cannot be loaded "
            "or predicts something else",
            err=True,
        )
    return files


def _require_trust(source: Source, files: ModelFiles, *, trust: bool) -> None:
    """Ask a person at a terminal before files are loaded that can run code."""
    if not files.risks or trust:
        return
    risk = f"loading {source.title} can run any code: {'; '.join(files.risks)}"
    if not sys.stdin.isatty():
        raise TrainerError(
            f"{risk} ({source.made_by}); nothing was loaded. Add --trust if you trust who made it"
        )
    typer.echo(f"WARNING: {risk}. Load it only if you trust who made it.", err=True)
    if not typer.confirm(f"Load {source.title} ({source.made_by})?", err=True):
        raise TrainerError(f"{source.title} was not loaded, and nothing was changed")


def _rows(model: object, files: ModelFiles, table: Table | None, target: str | None) -> Rows:
    signature = files.description.signature and files.description.signature.inputs
    if table is not None:
        if signature is None:
            typer.echo(
                "WARNING: it has no signature: the types of its columns are inferred from the file",
                err=True,
            )
        return from_table(table, column_types(model, signature), target)
    rows = from_example(files.description, files.folder)
    if rows is None:
        raise TrainerError(
            "the model has no input example: give rows like its training rows with --data FILE "
            "(CSV or Parquet)"
        )
    typer.echo(
        f"WARNING: without --data, {rows.source} is all that the export is compared on, and all that "
        "ranges and explanations are made of",
        err=True,
    )
    return rows


def _export(model: object, rows: Rows, settings: Settings, source: Source) -> Export:
    try:
        with warnings.catch_warnings():
            # A model that was fitted on an array is given the names of the file's columns.
            warnings.filterwarnings("ignore", "X has feature names", UserWarning)
            return export(model, rows.features, settings)
    except ExportError as error:
        raise TrainerError(f"{source.title} was not converted: {printable(str(error))}") from error


def _report(proven: Export, rows: Rows) -> None:
    parity, table = proven.parity, proven.table
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in parity.rows_by_kind.items() if count)
    typer.echo(f"rows: {rows.source}; compared: {kinds}")
    typer.echo(f"parity {parity} (allowed: {parity.tolerance:.0e}); computed in {parity.precision}")
    if parity.splits:
        typer.echo(f"splits of trees: {parity.splits_tested:,} of {parity.splits:,} on both sides")
    if parity.flips:
        typer.echo(
            f"WARNING: {parity.flip_count:,} rows at a tie have another label, such as "
            f"{parity.flips[0].record}",
            err=True,
        )
    optional = [column.name for column in table.columns if column.optional]
    gaps = f"; may be missing: {', '.join(optional)}" if optional else ""
    typer.echo(
        f"features: {', '.join(f'{each.name} ({each.kind})' for each in table.columns)}{gaps}"
    )
    if proven.task.served_classes:
        typer.echo(f"classes: {', '.join(map(str, proven.task.served_classes))}")


def _measured(converted: Converted, rows: Rows, positive: str | None) -> Converted:
    """With the metrics of the rows, which the gates of a promotion compare."""
    task = converted.proven.task
    chosen = None if positive is None else actual_values(np.array([positive], object), task)[0]
    try:
        metrics, tags = evaluated(
            converted.proven, actual_values(rows.labels, task), plain_label(chosen)
        )
    except (ExportError, ValueError) as error:
        raise TrainerError(
            f"--target cannot be compared with the predictions: {printable(str(error))} (--class-labels names "
            "the classes that an encoder outside the model numbered)"
        ) from error
    if not metrics:
        raise TrainerError("there are no metrics for a model like this: leave --held-out out")
    typer.echo(f"measured: {', '.join(f'{name} {value:.6g}' for name, value in metrics.items())}")
    return replace(converted, metrics=metrics, measured_tags=tags)


def _would(converted: Converted, name: str | None) -> None:
    """Say what --register would do."""
    tags = ", ".join(
        f"{key}={value}"
        for key, value in converted.tags.items()
        if key == CONVERTED_FROM or not key.startswith(tag_names.DETAIL)
    )
    original = converted.source.run
    run = "a new run" if converted.new_run or not original else f"run {original.info.run_id}"
    typer.echo(
        f"not registered. --register would make it the next version of {name or '--model-name'}, of {run}, "
        f"with the tags {printable(tags)}"
    )
