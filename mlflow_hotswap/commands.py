"""All commands as one typer application: their help, their completion, and the run of the trainer's commands."""

from typing import Annotated

import typer

from mlflow_hotswap.__main__ import SERVICE, print_version
from trainer.cli import PLAIN, Commands
from trainer.cli import app as trainer_app
from trainer.keys_command import app as keys_app

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Serve the model version that MLflow's registry names; train, compare and promote versions. "
    "MLFLOW_TRACKING_URI names the MLflow server.",
    **PLAIN,
)


def _version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def _pass_on(context: typer.Context) -> None:
    raise typer.Exit(SERVICE[str(context.info_name)](context.args))


for _name, _run in SERVICE.items():
    app.command(
        _name,
        help=_run.__doc__,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_pass_on)
app.add_typer(trainer_app)
app.add_typer(
    keys_app,
    name="keys",
    short_help="`NAME`: make an API key; `new`, `list`: keys that sign.",
)
