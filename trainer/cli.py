"""The commands of `python -m trainer`: their options, and nothing else.

MLflow takes more than a second to import, so what needs it is imported when a command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from trainer.errors import TrainerError
from trainer.options import (
    ALIAS,
    MODEL,
    Alias,
    Kind,
    Model,
    PointerKind,
    Reason,
    Tolerance,
    VersionArgument,
    Who,
)
from trainer.webhook_command import app as webhook_app

if TYPE_CHECKING:
    from trainer.registry_commands import RegistryCommands

PROGRAM = "python -m trainer"


class _Commands(TyperGroup):
    """Turns a TrainerError into a message on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TrainerError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train models, compare their versions, and choose which one serves. "
    "MLFLOW_TRACKING_URI names the MLflow server.",
)

app.add_typer(webhook_app, name="webhook", short_help="Have MLflow tell the service of changes.")


@app.command(
    short_help="Train the candidates and register them.",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train(context: typer.Context) -> None:
    """Train the candidates, log a run for each, and register what may serve."""
    # The command itself brings scikit-learn and matplotlib, which no other command should wait for.
    from trainer.train_command import train as command

    trainer = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    trainer.command()(command)
    typer.main.get_command(trainer).main(context.args, prog_name=f"{PROGRAM} train")


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
    _commands(model, pointer, alias).begin(who)


@app.command(short_help="Promote a version to Staging or Production.")
def promote(
    version: VersionArgument,
    *,
    to: Annotated[
        Literal["Staging", "Production"],
        typer.Option(case_sensitive=False, metavar="Staging|Production"),
    ],
    reason: Reason = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote whatever the policy says; needs --reason.")
    ] = False,
    different_data: Annotated[
        bool,
        typer.Option("--different-data", help="Allow metrics that were measured on other data."),
    ] = False,
    roc_auc_tolerance: Tolerance = 0.005,
    sensitivity_tolerance: Tolerance = 0.01,
    who: Who = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Promote a version to Staging, or to Production if the policy allows; then it serves.

    The policy: parity of scikit-learn and ONNX passed, ROC-AUC and sensitivity on the test rows
    not below the champion's by more than a tolerance, both measured on the same data. The champion
    stays in Production as rollback target: when the new one is demoted, here or in MLflow, it serves again.
    """
    from trainer.promotion import Policy

    commands = _commands(model, pointer, alias)
    if to == "Staging":
        commands.stage(version, who, reason)
    else:
        policy = Policy(roc_auc_tolerance, sensitivity_tolerance, different_data)
        commands.promote(version, policy, who, reason, force=force)


@app.command(short_help="Take a version out of Production or Staging.")
def demote(
    version: VersionArgument,
    *,
    to: Annotated[
        Literal["Archived", "Staging", "None"] | None,
        typer.Option(
            case_sensitive=False,
            metavar="Archived|Staging|None",
            help="Where to.  [default: Archived; with --pointer alias: None]",
        ),
    ] = None,
    reason: Reason = None,
    who: Who = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Take a version out of Production or Staging; the rollback target serves, if there is one."""
    _commands(model, pointer, alias).demote(version, to, who, reason)


@app.command(short_help="Go back to the version before.")
def rollback(
    *,
    reason: Reason = None,
    who: Who = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Go back to the version that was in Production before; refuses if there is none."""
    _commands(model, pointer, alias).roll_back(who, reason)


@app.command(short_help="What serves, and what a rollback brings back.")
def status(model: Model = MODEL, pointer: Kind = "stage", alias: Alias = ALIAS) -> None:
    """Show which version serves, what a rollback brings back, and what is in Staging."""
    _commands(model, pointer, alias).status()


@app.command(short_help="Every transition: who, when, why.")
def history(
    version: Annotated[
        str | None, typer.Argument(help="Only this version.", show_default=False)
    ] = None,
    *,
    model: Model = MODEL,
) -> None:
    """Show every transition that the trainer made: when, from, to, who, why."""
    _commands(model, "stage", ALIAS).history(version)


@app.command(short_help="Every version and its metrics.")
def leaderboard(*, model: Model = MODEL, pointer: Kind = "stage", alias: Alias = ALIAS) -> None:
    """Show every version with its metrics on the test rows, the best ROC-AUC first."""
    _commands(model, pointer, alias).leaderboard()


@app.command(short_help="Which features the versions rely on.")
def importance(
    version: Annotated[
        str | None, typer.Argument(help="Only this version.", show_default=False)
    ] = None,
    *,
    top: Annotated[int, typer.Option(min=1, help="How many features.")] = 10,
    model: Model = MODEL,
) -> None:
    """Show each feature's share of permutation importance, on average and for each version."""
    _commands(model, "stage", ALIAS).importance(version, top)


def _commands(model: str, pointer: PointerKind, alias: str) -> "RegistryCommands":
    from trainer.registry_commands import RegistryCommands

    return RegistryCommands(model, alias if pointer == "alias" else None)
