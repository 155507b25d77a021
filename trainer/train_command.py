"""`python -m trainer train`: train the candidates, and register each successful one as a version."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trainer import annotation, data
from trainer.candidates import CATALOGUE, Candidate, choose
from trainer.errors import TrainerError
from trainer.experiment import Experiment, Failed, Logged
from trainer.mlflow_server import connect, mlflow_border
from trainer.progress import Registered, leaderboard, run_all
from trainer.registry import register
from trainer.search import FULL, QUICK

Results = list[Registered | Failed]


def train(
    *,
    path: Annotated[
        Path | None, typer.Option("--data", help="A file in UCI's wdbc.data format.")
    ] = None,
    candidates: Annotated[
        str, typer.Option(help=f"Names, separated by commas: {', '.join(CATALOGUE)}.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides the search and the models.")] = 0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Points that the search tries of each candidate.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer trials and folds.")] = False,
    model: Annotated[str, typer.Option(help="The registered model's name.")] = "breast-cancer",
    experiment: Annotated[str, typer.Option(help="MLflow's experiment.")] = "breast-cancer",
) -> None:
    """Train the candidates, log every run, and register the best of each kind."""
    chosen = choose([name.strip() for name in candidates.split(",") if name.strip()])
    dataset = data.load(path)
    effort = QUICK if quick else FULL
    effort = replace(effort, trials=trials or effort.trials)
    client = connect()
    # The progress bar has the terminal; MLflow would print two links a run into it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with mlflow_border(client, "log the training"):
        prepared = Experiment.prepare(client, experiment, dataset, effort, seed)
        train_all(prepared, chosen, model, Console())


def train_all(
    experiment: Experiment, candidates: Sequence[Candidate], model_name: str, console: Console
) -> Results:
    """Run all candidates, register those that pass the parity check, and print a leaderboard.

    Raises TrainerError at the end if some did not.
    """
    console.print(
        f"{len(experiment.dataset.diagnosis)} rows, digest {experiment.dataset.digest}; "
        f"{len(experiment.rows.test.diagnosis)} held out; seed {experiment.seed}",
        highlight=False,
    )
    results: Results = []
    for outcome in run_all(experiment, candidates, console):
        if isinstance(outcome, Failed):
            console.print(f"  {outcome.candidate.name}: not registered. {outcome.failure}")
            results.append(outcome)
        else:
            results.append(_register(experiment, outcome, model_name))
    console.print(leaderboard(results))
    if failed := [each.candidate.name for each in results if isinstance(each, Failed)]:
        raise TrainerError(
            f"not registered: {', '.join(failed)}; the other candidates were. "
            "Their runs in MLflow are marked failed and say why, in the tag `failure`"
        )
    return results


def _register(experiment: Experiment, logged: Logged, model_name: str) -> Registered:
    version = register(
        experiment.client,
        model_name=model_name,
        run_id=logged.run_id,
        source=logged.source,
        description=annotation.description(
            logged.candidate, logged.metrics, experiment.dataset, logged.parity
        ),
        tags=annotation.version_tags(
            logged.candidate, experiment.seed, experiment.dataset, logged.export, logged.parity
        ),
    )
    return Registered(logged, version)
