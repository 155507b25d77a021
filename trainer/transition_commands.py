"""The commands that change which version serves: their options, and nothing else."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from trainer.options import (
    ALIAS,
    MODEL,
    Alias,
    ApproversFile,
    AsJson,
    Gates,
    Key,
    Kind,
    Model,
    PassphraseFile,
    Reason,
    VersionArgument,
    Who,
    Wide,
    commands_on,
)
from trainer.terminal import Output

_SERVICE = "http://127.0.0.1:8000"


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
    gate: Gates = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what would happen and which held-out rows change sides; change nothing.",
        ),
    ] = False,
    require_shadow: Annotated[
        str | None,
        typer.Option(
            "--require-shadow",
            metavar="rows=N,flips=SHARE",
            help="What the version must have shown as shadow of the champion, such as rows=1000,flips=0.02; "
            "also difference=0.1, the 99 % quantile in probability, or in a regressor's value.",
        ),
    ] = None,
    bake: Annotated[
        str | None,
        typer.Option(
            "--bake",
            metavar="TIME",
            help="Stay for this time (90s, 30m, 2h), and roll back if a limit is passed.",
        ),
    ] = None,
    bake_limits: Annotated[
        str,
        typer.Option(
            "--bake-limits",
            metavar="NAME=NUMBER,…",
            help="Shares of requests and rows (errors=0.01, not_finite=0, flips=0.05), and seconds (latency=0.25 for "
            "the p99, silence=60 for a service that does not serve the version).",
            show_default=False,
        ),
    ] = "",
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            envvar="TRAINER_SERVICES",
            metavar="URL",
            help="A service that --require-shadow and --bake look at; repeat it for each replica.  "
            "[default: http://127.0.0.1:8000]",
        ),
    ] = None,
    service_key_file: Annotated[
        Path | None,
        typer.Option("--service-key-file", help="A file with an operations key of the services."),
    ] = None,
    records: Annotated[
        str | None,
        typer.Option(
            "--records",
            metavar="FOLDER",
            help="Read the evidence of --require-shadow from these records instead of the services.",
        ),
    ] = None,
    who: Who = None,
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Promote a version to Staging, or to Production if the policy allows; then it serves.

    The policy: parity of the library and ONNX passed, no metric of the gates worse than the
    champion's by more than its tolerance, both measured on the same data. --gate replaces the gates
    that are stored with the registered model; without it, these decide, or else the defaults of the
    task (see `gates`). The champion stays in Production as rollback target: when the new one is
    demoted, here or in MLflow, it serves again. --require-shadow and --bake let live traffic decide as well.
    """
    from trainer.baking import Trial
    from trainer.gates import parse_gates
    from trainer.promotion import Policy

    if to == "Staging" and (gate or dry_run or require_shadow or bake):
        raise typer.BadParameter(
            "--gate, --dry-run, --require-shadow and --bake go with --to Production, which has a policy"
        )
    policy = Policy(parse_gates(gate or ()), different_data)
    trial = Trial.of(
        service or [_SERVICE],
        require_shadow=require_shadow,
        bake_time=bake,
        limits=bake_limits,
        records=records,
        key_file=service_key_file,
    )
    signing = (None, None) if dry_run else (key, passphrase_file)
    output = Output(wide, as_json)
    commands = commands_on(model, pointer, alias, signing, approvers, output=output)
    if to == "Staging":
        commands.stage(version, who, reason)
    elif dry_run:
        commands.dry_run(version, policy, reason, force=force, trial=trial)
    else:
        commands.promote(version, policy, who, reason, force=force, trial=trial)


def gates(
    gate: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME:TOLERANCE", help="Store these.", show_default=False),
    ] = None,
    *,
    default: Annotated[
        bool, typer.Option("--default", help="Store none: the defaults of the task decide.")
    ] = False,
    reason: Reason = None,
    who: Who = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show or store the metrics that decide a promotion, and how much worse each may be.

    They are tags of the registered model, `gate.NAME`, so that everybody promotes by the same rule.
    NAME is a metric of the version's run. TOLERANCE has the metric's unit, or is a percentage of the
    champion's value: test_roc_auc:0.01, test_rmse:2%. Lower is better for names of errors (rmse, mae,
    log_loss, brier_score, …); where the name does not say it, add :lower or :higher. `history` shows each
    change.
    """
    from trainer.gates import parse_gates

    if gate and default:
        raise typer.BadParameter("--default stores no gates, so it takes none")
    chosen = parse_gates(gate or ())
    commands = commands_on(model, pointer, alias, output=Output(wide, as_json))
    if chosen or default:
        commands.store_gates(chosen, who, reason)
    commands.gates()


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
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Take a version out of Production or Staging; the rollback target serves, if there is one."""
    commands = commands_on(model, pointer, alias, (key, passphrase_file), approvers)
    commands.demote(version, to, who, reason)


def rollback(
    *,
    reason: Reason = None,
    who: Who = None,
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Go back to the version that was in Production before; refuses if there is none."""
    commands = commands_on(model, pointer, alias, (key, passphrase_file), approvers)
    commands.roll_back(who, reason)
