"""`python -m trainer predictions` and `replay`: read what a service recorded, and compute it again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer.options import AsJson, Wide
from trainer.terminal import Output

if TYPE_CHECKING:
    from trainer.records import Records

By = Literal["version", "day", "prediction", "protocol", "key"]

_NONE = "no recorded prediction is like that"

app = typer.Typer(
    no_args_is_help=True, help="Read the predictions that the service recorded as Parquet."
)

Folder = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER_OR_URI",
        envvar="PREDICTOR_RECORD_URI",
        help="Where the service records: a folder, a file of it, or any address of fsspec.",
    ),
]
Id = Annotated[
    str | None, typer.Option("--id", help="The id of one prediction, or of its request.")
]
Model = Annotated[str | None, typer.Option("--model", help="Only this registered model.")]
Version = Annotated[str | None, typer.Option("--version", help="Only this version.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="7d|DATE", help="Days (7d), hours, minutes, or a date in UTC."),
]

WhatIf = Annotated[
    bool,
    typer.Option(
        "--what-if", help="Also values that somebody tried out; with --id they are shown anyway."
    ),
]


@app.command(short_help="The last predictions, or all of one id.")
def show(
    folder: Folder,
    *,
    id_: Id = None,
    model: Model = None,
    version: Version = None,
    since: Since = None,
    what_if: WhatIf = False,
    last: Annotated[int, typer.Option("--last", min=1, help="How many.")] = 20,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show the last predictions, the newest below; with --id every value of a prediction."""
    from trainer import predictions

    records = _records(folder, id_, model, version, since, what_if=what_if)
    print_ = predictions.show_whole if id_ else predictions.show
    if not print_(records, last, Output(wide, as_json)):
        typer.echo(_NONE, err=as_json)


@app.command(short_help="How many predictions, by version, day, …")
def count(
    folder: Folder,
    *,
    by: Annotated[
        By | None, typer.Option("--by", metavar="version|day|prediction|protocol|key")
    ] = None,
    id_: Id = None,
    model: Model = None,
    version: Version = None,
    since: Since = None,
    what_if: WhatIf = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Count the predictions and their requests, with the times of the first and the last."""
    from trainer import predictions

    records = _records(folder, id_, model, version, since, what_if=what_if)
    if not predictions.count(records, by, Output(wide, as_json)):
        typer.echo(_NONE, err=as_json)


@app.command(short_help="Write predictions to a CSV or Parquet file.")
def export(
    folder: Folder,
    *,
    output: Annotated[Path, typer.Option("--output", help="A file: .csv or .parquet.")],
    id_: Id = None,
    model: Model = None,
    version: Version = None,
    since: Since = None,
    what_if: WhatIf = False,
) -> None:
    """Write the chosen predictions, in order of time, to one file that only you can read."""
    records = _records(folder, id_, model, version, since, what_if=what_if)
    if not records or not records.read("id", after="limit 1"):
        typer.echo(_NONE)
        raise typer.Exit(1)
    typer.echo(f"wrote {records.export(output)} predictions to {output}")


def replay(
    file_or_id: Annotated[
        str, typer.Argument(help="A .parquet file of the record, or an id of --records.")
    ],
    *,
    version: Annotated[
        str, typer.Option("--version", help="The registered version that computes.")
    ],
    records: Annotated[
        str | None,
        typer.Option(
            "--records",
            metavar="FOLDER_OR_URI",
            envvar="PREDICTOR_RECORD_URI",
            help="Where the service records, for an id.",
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option("--model-name", help="The registered model.  [default: the recorded]"),
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Compute recorded predictions again on one version, and compare every answer to the last bit.

    An id is that of one prediction or of its request. Exit code 1 if an answer differs.
    """
    from trainer.replay_command import replay as run

    run(file_or_id, records, version, model_name, Output(wide, as_json))


def _records(
    folder: str,
    id_: str | None,
    model: str | None,
    version: str | None,
    since: str | None,
    *,
    what_if: bool,
) -> "Records":
    from trainer.records import Choice, Records, parse_since

    start = parse_since(since, datetime.now(UTC)) if since else None
    return Records(folder, Choice(id_, model, version, start, what_if))
