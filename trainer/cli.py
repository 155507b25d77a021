"""The app of `python -m trainer`: its commands in the order of `--help`.

MLflow takes more than a second to import, so what needs it is imported when a command runs.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trainer.approval_command import approvals, approve, withdraw
from trainer.drift_command import drift
from trainer.errors import TrainerError
from trainer.keys_command import app as keys_app
from trainer.options import (
    ALIAS,
    MODEL,
    Alias,
    Key,
    Kind,
    Model,
    PassphraseFile,
    Who,
    commands_on,
)
from trainer.outcomes_command import app as outcomes_app
from trainer.predictions_command import app as predictions_app
from trainer.predictions_command import replay
from trainer.transition_commands import demote, gates, promote, rollback
from trainer.view_commands import audit, fleet, history, importance, leaderboard, status
from trainer.webhook_command import app as webhook_app

PROGRAM = "python -m trainer"
PLAIN: Any = {"pretty_exceptions_enable": False, "rich_markup_mode": None}


class Commands(TyperGroup):
    """Turns a TrainerError into a message on stderr and exit code 1."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the commands that need scikit-learn only if they run: it takes seconds."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in ("train", "convert"):
            run = getattr(import_module(f"trainer.{name}_command"), name)
            alone = typer.Typer(add_completion=False, **PLAIN)
            alone.command(name)(run)
            command = typer.main.get_command(alone)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TrainerError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    **PLAIN,
    help="Train models, compare their versions, and choose which one serves. "
    "MLFLOW_TRACKING_URI names the MLflow server.",
)

app.add_typer(keys_app, name="keys", short_help="Make the keys that sign.")
app.add_typer(predictions_app, name="predictions", short_help="What the service answered.")
app.add_typer(outcomes_app, name="outcomes", short_help="How right the answers turned out to be.")
app.add_typer(webhook_app, name="webhook", short_help="Have MLflow tell the service of changes.")


@app.command(short_help="Train the candidates and register them.")
def train() -> None:
    """Train the candidates. `Commands.resolve_command` replaces this by `trainer.train_command`."""


@app.command(short_help="Export a version that has no ONNX graph, and prove it.")
def convert() -> None:
    """Convert a model. `Commands.resolve_command` replaces this by `trainer.convert_command`."""


@app.command(short_help="Train and promote a first version, where there is none.")
def begin(
    *,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", help="Whom MLflow shall tell, as `webhook set`."),
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="What MLflow signs with, for --webhook.")
    ] = None,
    who: Who = None,
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Prepare a new MLflow server: train and promote a first version, if there is none.

    Trains quickly where no version is registered, and promotes the best in cross-validation where
    none was ever promoted. What someone demoted stays demoted.
    """
    if (webhook is None) != (secret_file is None):
        raise typer.BadParameter("--webhook and --secret-file go together")
    if webhook and secret_file:
        from trainer.webhook_command import set_

        set_(webhook, secret_file=secret_file)
    commands_on(model, pointer, alias, (key, passphrase_file)).begin(who)


app.command(short_help="Promote a version to Staging or Production.")(promote)
app.command(short_help="The metrics that decide a promotion.")(gates)
app.command(short_help="Take a version out of Production or Staging.")(demote)
app.command(short_help="Go back to the version before.")(rollback)
app.command(short_help="Sign that a version may serve.")(approve)
app.command(short_help="Take back your approvals of a version.")(withdraw)
app.command(short_help="Who approved a version, and is it enough?")(approvals)
app.command(short_help="Compute recorded predictions again.")(replay)
app.command(short_help="Have recorded predictions changed? A report.")(drift)
app.command(short_help="What serves, and what a rollback brings back.")(status)
app.command(short_help="What each replica serves, and which lag.")(fleet)
app.command(short_help="Every transition: who, when, why.")(history)
app.command(short_help="What served when, and who decided it.")(audit)
app.command(short_help="Every version and its metrics.")(leaderboard)
app.command(short_help="Which features the versions rely on.")(importance)
