"""`python -m trainer approve`, `withdraw` and `approvals`: their options. `trainer.approval_desk` does the work.

MLflow takes more than a second to import, so what needs it is imported when a command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.options import (
    ALIAS,
    MODEL,
    Alias,
    ApproversFile,
    AsJson,
    Key,
    Kind,
    Model,
    PassphraseFile,
    VersionArgument,
    Wide,
)
from trainer.terminal import Output

if TYPE_CHECKING:
    from trainer.approval_desk import ApprovalDesk

Why = Annotated[str, typer.Option("--reason", help="Why, for the signed statement.")]
Yes = Annotated[bool, typer.Option("--yes", help="Sign without a question.")]


def approve(
    version: VersionArgument,
    *,
    reason: Why,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", help="When the approval ends: 90d, or 2027-01-31.  [default: never]"
        ),
    ] = None,
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    yes: Yes = False,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Sign that exactly these files of a version may serve.

    Shows the files with their SHA-256, the metrics, parity and the verdict of the gates, and asks. The signed
    statement is kept in a tag of the version. A version whose tags contradict its files is refused.
    """
    from trainer.approval import parse_expiry
    from trainer.registry_commands import RegistryCommands
    from trainer.signing_keys import open_key

    end = parse_expiry(expires)
    desk = _desk(model, version, approvers)
    files = desk.checked_files()
    desk.show(files)
    RegistryCommands(model, alias if pointer == "alias" else None).print_verdict(version)
    if not yes:
        until = f" until {end:%Y-%m-%d %H:%M} UTC" if end else ""
        typer.confirm(f"Approve version {version} of {model}{until}?", abort=True, err=True)
    desk.approve(open_key(key, passphrase_file), files, reason, end)


def withdraw(
    version: VersionArgument,
    *,
    reason: Why,
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    yes: Yes = False,
    approvers: ApproversFile = None,
    model: Model = MODEL,
) -> None:
    """Take back all your approvals of a version, signed as well; a later approval counts again."""
    from trainer.signing_keys import open_key

    desk = _desk(model, version, approvers)
    if not yes:
        question = f"Withdraw your approvals of version {version} of {model}?"
        typer.confirm(question, abort=True, err=True)
    desk.withdraw(open_key(key, passphrase_file), reason)


def approvals(
    version: VersionArgument,
    *,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show who approved a version, and whether that is enough; exit code 1 if it is not."""
    if not _desk(model, version, approvers).show_approvals(Output(wide, as_json)):
        raise typer.Exit(1)


def _desk(model: str, version: str, approvers: Path | None) -> "ApprovalDesk":
    from trainer.approval import read_approvers
    from trainer.approval_desk import ApprovalDesk
    from trainer.mlflow_server import connect
    from trainer.registry import RegisteredModel

    people = read_approvers(approvers) if approvers else None
    return ApprovalDesk(RegisteredModel(connect(), model), version, people)
