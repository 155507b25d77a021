"""`python -m trainer drift`: a report about recorded predictions, compared with those before or with a table."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from trainer.options import AsJson, Wide
from trainer.predictions_command import Folder, Model, Version
from trainer.terminal import Output, Table, number, prose, word


def drift(
    folder: Folder,
    *,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="30d|DATE", help="Days (30d), hours, minutes, or a date in UTC."
        ),
    ] = "30d",
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="Rows to compare with, such as the training table: .csv or .parquet.  [default: the recorded "
            "predictions of the same time before]",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="The report.")] = Path("drift.html"),
    model: Model = None,
    version: Version = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Compare recorded predictions with those before, feature by feature, and write Evidently's report in HTML.

    Only you can read the report: it shows how patients' values are distributed.
    """
    from trainer import drift_report

    now = datetime.now(UTC)
    found = drift_report.write(
        drift_report.Comparison(folder, since, now, model, version, reference), output
    )
    cells = [
        [each.column, each.method, each.distance, "drift" if each.drifted else None]
        for each in found.columns
    ]
    columns = [
        prose("column", least=24), prose("method", "distance by", rank=1),
        number("distance", text="{:.4f}".format), word("drift", " "),
    ]  # fmt: skip
    Output(wide, as_json).show(Table(columns, cells))
    typer.echo(
        f"compared {found.rows:,} predictions with {found.reference_rows:,} rows; wrote {output}",
        err=as_json,
    )
