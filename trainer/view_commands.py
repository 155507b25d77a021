"""The commands that show versions, transitions and replicas, and change nothing: their options, and nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from trainer.options import (
    ALIAS,
    MODEL,
    Alias,
    ApproversFile,
    AsJson,
    Kind,
    Model,
    Wide,
    commands_on,
)
from trainer.terminal import Output


def status(
    *,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show which version serves, what a rollback brings back, and what is in Staging."""
    commands_on(model, pointer, alias, approvers=approvers, output=Output(wide, as_json)).status()


def fleet(
    *,
    nats: Annotated[
        str,
        typer.Option(
            "--nats", envvar="PREDICTOR_NATS_URL", metavar="URL", help="The service's NATS servers."
        ),
    ],
    credentials_file: Annotated[
        Path | None,
        typer.Option(
            "--credentials-file",
            envvar="PREDICTOR_NATS_CREDENTIALS_FILE",
            help="A file with USER:PASSWORD, a token, or a .creds file.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The registered model.  [default: all]")
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show what each replica serves, as it reported over NATS within the last minute.

    A replica lags if it serves another version than the registry named when it last answered one
    of the model's replicas. Exit code 1 if one lags, or none has reported.
    """
    from trainer.fleet_command import show

    show(nats, credentials_file, model, Output(wide, as_json))


def history(
    version: Annotated[
        str | None, typer.Argument(help="Only this version.", show_default=False)
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the signatures and the chain of the entries.")
    ] = False,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor", metavar="HASH", help="A hash noted before: an entry must have it."
        ),
    ] = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show every transition that the trainer made: when, from, to, who, why.

    --verify checks that no entry was changed, removed or inserted, and by whose key each is signed: a key of the
    file of approvers, or else of your own folder. The exit code is 1 if an entry is not as it should be.
    """
    commands = commands_on(model, "stage", ALIAS, approvers=approvers, output=Output(wide, as_json))
    if verify or anchor is not None:
        commands.verify_history(version, anchor)
    else:
        commands.history(version)


def audit(
    *,
    out: Annotated[
        Path, typer.Option("--out", help="A folder, or a file: .json and .html are written.")
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", help="The first day, or a time.  [default: the beginning]"),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="The last day, or a time.  [default: now]")
    ] = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Write for a reviewer what served when and who decided it, with the evidence, as JSON and as a page that prints.

    The evidence: every transition with the check of its signature and of the chain, the findings of the gates, the
    metrics, parity, the SHA-256 of the files as they are now, and all approvals and withdrawals.
    """
    from trainer.audit import Span

    span = Span.parse(from_, to)
    commands_on(model, pointer, alias, approvers=approvers).audit(span, out)


def leaderboard(
    *,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show every version with the metrics of the gates, the best first; with --approvers, also its approvals."""
    output = Output(wide, as_json)
    commands_on(model, pointer, alias, approvers=approvers, output=output).leaderboard()


def importance(
    version: Annotated[
        str | None, typer.Argument(help="Only this version.", show_default=False)
    ] = None,
    *,
    top: Annotated[int, typer.Option(min=1, help="How many features.")] = 10,
    model: Model = MODEL,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show each feature's share of permutation importance, on average and for each version."""
    commands_on(model, "stage", ALIAS, output=Output(wide, as_json)).importance(version, top)
