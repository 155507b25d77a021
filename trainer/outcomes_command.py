"""`python -m trainer outcomes`: import what turned out to be true, and report how right the predictions were."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer.options import AsJson, Wide
from trainer.predictions_command import Folder, Model, Since, Version
from trainer.terminal import Output, print_json

if TYPE_CHECKING:
    from trainer.records import Choice

By = Literal["version", "day", "week", "month"]

app = typer.Typer(
    no_args_is_help=True,
    help="Compare recorded predictions with what turned out to be true, which clients sent to `POST /outcomes`.",
)

Positive = Annotated[
    str | None,
    typer.Option(
        "--positive",
        help="The class to find.  [default: that of the graph, or the second of two classes]",
    ),
]
Late = Annotated[
    float, typer.Option("--late", metavar="DAYS", min=0, help="Outcomes after more days are late.")
]


@app.command("import", short_help="Append the outcomes of a CSV file.")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV with the columns id, outcome and, if known, at.")
    ],
    folder: Folder,
) -> None:
    """Append the outcomes of a CSV file to the record, whole or not at all; the same file only once.

    The first line names the columns: id, outcome and, if known, at (the time, in UTC unless it has a zone).
    Others are ignored. Run it as the service's user, who owns the record.
    """
    from trainer.outcome_import import import_file

    imported = import_file(file, folder, datetime.now(UTC))
    if imported.before:
        typer.echo(f"{file} was imported before, to {imported.path}; nothing was written")
    else:
        typer.echo(f"imported {imported.rows} outcomes to {imported.path}")


@app.command(short_help="How right the predictions were, by version or by time.")
def report(
    folder: Folder,
    *,
    by: Annotated[
        By,
        typer.Option("--by", metavar="version|day|week|month", help="By time of prediction, UTC."),
    ] = "version",
    model: Model = None,
    version: Version = None,
    since: Since = None,
    positive: Positive = None,
    late: Late = 30,
    log: Annotated[
        bool,
        typer.Option("--log", help="Also write metrics and pictures to the run of each version."),
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show sensitivity, specificity, ROC-AUC, Brier score and calibration as they turned out, with 95 % intervals.

    Each version is measured on its own predictions that have an outcome. An id that names several predictions does not
    count. --log needs MLFLOW_TRACKING_URI.
    """
    from trainer import outcome_report
    from trainer.outcomes import Outcomes

    found = Outcomes(folder)
    choice, period = _choice(model, version, since), None if by == "version" else by
    made = outcome_report.make(found, choice, period, positive, late)
    if as_json:
        print_json(made.as_json())
    elif made.groups:
        outcome_report.show(made, Output(wide))
    else:
        typer.echo("no recorded prediction is like that")
    if log:
        from trainer.outcome_log import log as write

        for line in write(found, choice, period or "week", positive, late):
            typer.echo(line, err=as_json)


@app.command(short_help="The same as metrics for Prometheus.")
def serve(
    folder: Folder,
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where Prometheus reads them.")
    ] = "127.0.0.1:9109",
    every: Annotated[
        str, typer.Option("--every", metavar="5m", help="How often they are computed anew.")
    ] = "5m",
    model: Model = None,
    version: Version = None,
    since: Since = None,
    positive: Positive = None,
    late: Late = 30,
) -> None:
    """Serve the report of each version at http://HOST:PORT/metrics until it is stopped.

    --since is counted back from each computation. The metrics have no values of patients; any client of the port can
    read them.
    """
    from trainer import outcome_exporter
    from trainer.outcome_report import Report, make
    from trainer.outcomes import Outcomes

    def compute() -> Report:
        return make(Outcomes(folder), _choice(model, version, since), None, positive, late)

    outcome_exporter.serve(listen, outcome_exporter.seconds(every), compute)


def _choice(model: str | None, version: str | None, since: str | None) -> "Choice":
    from trainer.records import Choice, parse_since

    start = parse_since(since, datetime.now(UTC)) if since else None
    return Choice(model=model, version=version, since=start)
