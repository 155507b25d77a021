"""The commands of `python -m trainer`: their options, and nothing else.

MLflow takes more than a second to import, so what needs it is imported when a command runs.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    ApproversFile,
    AsJson,
    Gates,
    Key,
    Kind,
    Model,
    PassphraseFile,
    PointerKind,
    Reason,
    VersionArgument,
    Who,
    Wide,
)
from trainer.outcomes_command import app as outcomes_app
from trainer.predictions_command import app as predictions_app
from trainer.predictions_command import replay
from trainer.terminal import Output
from trainer.webhook_command import app as webhook_app

if TYPE_CHECKING:
    from trainer.registry_commands import RegistryCommands

PROGRAM = "python -m trainer"
_SERVICE = "http://127.0.0.1:8000"
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
    _commands(model, pointer, alias, (key, passphrase_file)).begin(who)


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
    commands = _commands(model, pointer, alias, signing, approvers, output=output)
    if to == "Staging":
        commands.stage(version, who, reason)
    elif dry_run:
        commands.dry_run(version, policy, reason, force=force, trial=trial)
    else:
        commands.promote(version, policy, who, reason, force=force, trial=trial)


@app.command(short_help="The metrics that decide a promotion.")
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
    commands = _commands(model, pointer, alias, output=Output(wide, as_json))
    if chosen or default:
        commands.store_gates(chosen, who, reason)
    commands.gates()


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
    key: Key = None,
    passphrase_file: PassphraseFile = None,
    approvers: ApproversFile = None,
    model: Model = MODEL,
    pointer: Kind = "stage",
    alias: Alias = ALIAS,
) -> None:
    """Take a version out of Production or Staging; the rollback target serves, if there is one."""
    commands = _commands(model, pointer, alias, (key, passphrase_file), approvers)
    commands.demote(version, to, who, reason)


@app.command(short_help="Go back to the version before.")
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
    commands = _commands(model, pointer, alias, (key, passphrase_file), approvers)
    commands.roll_back(who, reason)


app.command(short_help="Sign that a version may serve.")(approve)
app.command(short_help="Take back your approvals of a version.")(withdraw)
app.command(short_help="Who approved a version, and is it enough?")(approvals)
app.command(short_help="Compute recorded predictions again.")(replay)
app.command(short_help="Have recorded predictions changed? A report.")(drift)


@app.command(short_help="What serves, and what a rollback brings back.")
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
    _commands(model, pointer, alias, approvers=approvers, output=Output(wide, as_json)).status()


@app.command(short_help="What each replica serves, and which lag.")
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


@app.command(short_help="Every transition: who, when, why.")
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
    commands = _commands(model, "stage", ALIAS, approvers=approvers, output=Output(wide, as_json))
    if verify or anchor is not None:
        commands.verify_history(version, anchor)
    else:
        commands.history(version)


@app.command(short_help="What served when, and who decided it.")
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
    _commands(model, pointer, alias, approvers=approvers).audit(span, out)


@app.command(short_help="Every version and its metrics.")
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
    _commands(model, pointer, alias, approvers=approvers, output=output).leaderboard()


@app.command(short_help="Which features the versions rely on.")
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
    _commands(model, "stage", ALIAS, output=Output(wide, as_json)).importance(version, top)


def _commands(
    model: str,
    pointer: PointerKind,
    alias: str,
    signing: tuple[str | None, Path | None] = (None, None),
    approvers: Path | None = None,
    *,
    output: Output | None = None,
) -> "RegistryCommands":
    """The commands on a model. `signing` are a key and the file of its passphrase; no key signs nothing."""
    from trainer.approval import read_approvers
    from trainer.registry_commands import RegistryCommands
    from trainer.signing_keys import open_key

    people = read_approvers(approvers) if approvers else None
    key, passphrase_file = signing
    signer = open_key(key, passphrase_file) if key else None
    return RegistryCommands(model, alias if pointer == "alias" else None, signer, people, output)
