"""`python -m trainer train`: train the candidates, and register each successful one as a version."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console

from trainer import annotation, data
from trainer.candidates import (
    MAX_ROWS_OF_SUPPORT_VECTOR_MACHINE,
    NAMES,
    Candidate,
    choose,
)
from trainer.data import Choices, Dataset
from trainer.errors import TrainerError
from trainer.experiment import Elsewhere, Experiment, Failed, Logged
from trainer.mlflow_server import connect, mlflow_border
from trainer.operating_point import SENSITIVITY
from trainer.options import MODEL, AsJson, Wide
from trainer.progress import Registered, leaderboard, records, run_all
from trainer.registry import check_model_name, register
from trainer.search import FULL, QUICK, RandomSearch, Search
from trainer.table import Column
from trainer.target import Choice
from trainer.terminal import Output, Table, number, print_json, prose, word

Results = list[Registered | Failed]


def train(
    *,
    path: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="CSV or Parquet, with --target; without, UCI's wdbc.data.  [default: its rows]",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model-name", "--model", help=f"The registered model's name.  [default: {MODEL}]"
        ),
    ] = None,
    task: Annotated[
        Choice | None,
        typer.Option(metavar="classification|regression", help="[default: inferred from --target]"),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="The positive one of two classes.  [default: inferred]")
    ] = None,
    identifier: Annotated[
        str | None, typer.Option("--id", help="A column that names the rows; no feature.")
    ] = None,
    dropped: Annotated[
        list[str] | None, typer.Option("--drop", help="A column to leave out; repeat for more.")
    ] = None,
    candidates: Annotated[
        str, typer.Option(help=f"Names, separated by commas: {', '.join(NAMES)}.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides the search and the models.")] = 0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Points that the search tries of each candidate.")
    ] = None,
    sensitivity: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="For two classes: the share of positive rows that the operating point must find.  "
            f"[default: {SENSITIVITY}]",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer trials and folds.")] = False,
    search: Annotated[
        Literal["random", "optuna"],
        typer.Option(
            metavar="random|optuna", help="optuna: shared by processes with one --storage."
        ),
    ] = "random",
    storage: Annotated[
        str | None,
        typer.Option(
            help="With --search optuna: a database URL of SQLAlchemy (sqlite:///…, postgresql://…), "
            "or a file for Optuna's journal."
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            help=f"MLflow's experiment.  [default: {MODEL}; with --target: the model's name]"
        ),
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Train the candidates, log every run, and register the best of each kind.

    Without --target it trains on the breast-cancer data. With --target, the types of the file's columns are
    inferred, and shown before anything is fitted.
    """
    if model is not None:
        check_model_name(model)
    output = Output(wide, as_json)
    console = Console(highlight=False, stderr=as_json)
    console.soft_wrap = not console.is_terminal  # a file has no width
    choices = None if target is None else Choices(target, task, positive, identifier, dropped or ())
    if choices is None and (task or positive or identifier or dropped):
        raise TrainerError(
            "--task, --positive, --id and --drop need --target, the column to predict"
        )
    dataset = _load(path, choices, model)
    _show(dataset, output, console)
    if sensitivity is not None and dataset.problem.task != "binary":
        raise TrainerError(
            f"--sensitivity needs two classes, and {dataset.problem.target} has another task: "
            f"{dataset.problem.task}"
        )
    chosen = _choose(
        [name.strip() for name in candidates.split(",") if name.strip()], dataset, console
    )
    effort = QUICK if quick else FULL
    effort = replace(effort, trials=trials or effort.trials)
    title = f"{model or MODEL}, data {dataset.digest}, seed {seed}, {effort.folds} folds"
    shared = _shared_search(search, storage, title)
    client = connect()
    # The progress bar has the terminal; MLflow would print two links a run into it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with mlflow_border(client, "log the training"):
        name = experiment or (model if choices else None) or MODEL
        prepared = Experiment.prepare(client, name, dataset, effort, seed)
        prepared = replace(
            prepared, sensitivity=sensitivity or SENSITIVITY, search=shared or RandomSearch()
        )
        train_all(prepared, chosen, model or MODEL, console, output)


def _shared_search(search: str, storage: str | None, name: str) -> Search | None:
    if search == "random":
        if storage is not None:
            raise TrainerError("--storage is for a shared search: add --search optuna")
        return None
    if storage is None:
        raise TrainerError("--search optuna needs --storage: a database URL, or a file")
    from trainer.shared_search import SharedSearch, open_storage  # needs the extra `optuna`

    return SharedSearch(open_storage(storage), name)


def _load(path: Path | None, choices: Choices | None, model: str | None) -> Dataset:
    """The built-in data or UCI's file without choices, else any table."""
    if choices is None:
        return data.load(path)
    if path is None:
        raise TrainerError("--target needs a table: name its file with --data")
    if model is None:
        raise TrainerError(
            "name the model under which the versions are registered: --model-name NAME"
        )
    return data.load_table(path, choices)


def _choose(names: Sequence[str], dataset: Dataset, console: Console) -> tuple[Candidate, ...]:
    """The named candidates; by default all that suit the data."""
    task = dataset.problem.task
    chosen = choose(names, task, float(np.std(dataset.target)) if task == "regression" else 1.0)
    if not names and len(dataset.target) > MAX_ROWS_OF_SUPPORT_VECTOR_MACHINE:
        chosen = tuple(each for each in chosen if each.name != "support_vector_machine")
        console.print("support_vector_machine is left out: it is slow with so many rows")
    return chosen


def _show(dataset: Dataset, output: Output, console: Console) -> None:
    """Print what was inferred of a table."""
    if not dataset.columns:
        return
    rows = [
        [each.name, each.kind, each.missing, each.distinct, _use(each) or None]
        for each in dataset.columns
    ]
    columns = [
        prose("column", least=24), word("type"), number("missing", rank=1),
        number("distinct", rank=2), prose("use", rank=3),
    ]  # fmt: skip
    Output(output.wide).show(Table(columns, rows), console)
    for remark in dataset.remarks:
        console.print(remark, markup=False)


def _use(column: Column) -> str:
    return f"dropped: {column.note}" if column.use == "dropped" else column.note


def train_all(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    model_name: str,
    console: Console,
    output: Output | None = None,
) -> Results:
    """Run all candidates, register each that passes the parity check, and print a leaderboard.

    Raises TrainerError at the end if some did not.
    """
    console.print(
        f"{len(experiment.dataset.target)} rows, digest {experiment.dataset.digest}; "
        f"{len(experiment.rows.test.target)} held out; seed {experiment.seed}",
        highlight=False,
    )
    results: Results = []
    try:
        for outcome in run_all(experiment, candidates, console):
            if isinstance(outcome, Elsewhere):
                console.print(f"  {outcome.candidate.name}: {outcome.reason}", markup=False)
                continue
            results.append(_finish(experiment, outcome, model_name, console))
            experiment.search.finished(outcome.candidate)
    finally:
        experiment.search.close()
    if not results:
        return results
    output = output or Output()
    if output.as_json:
        print_json(records(results))
    else:
        console.print("Leaderboard", style="bold")
        output.show(leaderboard(results, experiment.dataset.problem.task), console)
    if failed := [each.candidate.name for each in results if isinstance(each, Failed)]:
        raise TrainerError(
            f"not registered: {', '.join(failed)}; the other candidates were. "
            "Their runs in MLflow are marked failed and say why, in the tag `failure`"
        )
    return results


def _finish(
    experiment: Experiment, outcome: Logged | Failed, model_name: str, console: Console
) -> Registered | Failed:
    """Register what passed the parity check, and draw the pictures, whose title names the version."""
    title = outcome.candidate.title
    if isinstance(outcome, Failed):
        console.print(f"  {outcome.candidate.name}: not registered. {outcome.failure}")
        experiment.draw(outcome.run_id, f"{model_name}: {title}", outcome.evaluated)
        return outcome
    registered = _register(experiment, outcome, model_name)
    name = f"{model_name} {registered.version}"
    experiment.draw(outcome.run_id, f"{name}: {title}", outcome.evaluated)
    return registered


def _register(experiment: Experiment, logged: Logged, model_name: str) -> Registered:
    version = register(
        experiment.client,
        model_name=model_name,
        run_id=logged.run_id,
        source=logged.source,
        description=annotation.description(
            logged.candidate,
            logged.metrics,
            experiment.dataset,
            logged.export,
            logged.evaluated.point,
        ),
        tags=annotation.version_tags(
            logged.candidate, experiment.seed, experiment.dataset, logged.export
        ),
        model_description=annotation.model_description(experiment.dataset, model_name),
    )
    return Registered(logged, version)
