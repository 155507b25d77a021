"""`python -m trainer replay`: compute recorded predictions again on exactly one version."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from trainer.errors import ReplayError
from trainer.mlflow_server import connect
from trainer.records import Choice, Records, file_system
from trainer.registry import RegisteredModel
from trainer.replay import Difference, Graph, Recorded
from trainer.terminal import Column, Output, Table, print_json, prose
from trainer.version_files import read_contents

MAX_SHOWN = 20


def replay(
    file_or_id: str, records: str | None, version: str, model_name: str | None, output: Output
) -> None:
    """Print how many predictions are equal, and the different ones; exit code 1 if any differs. Raises TrainerError."""
    found = [*_recorded(file_or_id, records)]
    model = model_name or _only_model(found)
    client = connect()
    RegisteredModel(client, model).version(version)  # its error names the versions that there are
    graph = Graph(f"version {version} of {model}", read_contents(client, model, version))
    for each in found:
        _check_digest(each, graph, model, version, output)
    differences = [difference for each in found for difference in graph.compare(each)]
    total = sum(len(each.chosen) for each in found)
    equal = total - len(differences)
    if output.as_json:
        table = _table(differences).records()
        print_json({"predictions": total, "equal": equal, "differences": table})
    else:
        typer.echo(f"{equal} of {total} predictions are equal to the last bit with {graph.title}")
        if differences:
            output.show(_table(differences[:MAX_SHOWN]))
        if len(differences) > MAX_SHOWN:
            typer.echo(f"({MAX_SHOWN} of {len(differences)} are shown)")
    if differences:
        raise typer.Exit(1)


def _recorded(file_or_id: str, records: str | None) -> Iterator[Recorded]:
    if file_or_id.endswith(".parquet"):
        table = _read(file_or_id)
        yield Recorded.read(file_or_id, table, range(len(table)))
        return
    if records is None:
        raise ReplayError(
            f"{file_or_id!r} is no .parquet file, so it is an id; say with --records where the service records "
            "(or set PREDICTOR_RECORD_URI)"
        )
    for path in Records(records, Choice(id=file_or_id)).files():
        table = _read(path)
        fits = pc.or_(pc.equal(table["id"], file_or_id), pc.equal(table["request_id"], file_or_id))
        yield Recorded.read(path, table, pc.indices_nonzero(fits).to_pylist())


def _read(path: str) -> pa.Table:
    files, root = file_system(path)
    try:
        with files.open(root, "rb") as file:
            return pq.read_table(file)
    except Exception as error:  # each store has its own errors
        reason = " ".join(str(error).split())[:300]
        raise ReplayError(f"{path} cannot be read: {reason}") from error


def _only_model(found: Sequence[Recorded]) -> str:
    models = sorted({each.one("model_name") for each in found})
    if len(models) != 1:
        raise ReplayError(f"the predictions are of {', '.join(models)}; choose with --model-name")
    return models[0]


def _check_digest(
    recorded: Recorded, graph: Graph, model: str, version: str, output: Output
) -> None:
    """Say whether the version has another graph. Raises ReplayError if it is the one that answered."""
    digest = recorded.one("digest")
    if digest == graph.digest:
        return
    answered = recorded.one("model_version")
    if (recorded.one("model_name"), answered) == (model, version):
        raise ReplayError(
            f"{graph.title} has the graph {graph.digest}, and {recorded.source} was answered by {digest}: the files "
            "of the version were changed after it served, or the registry is another one"
        )
    typer.echo(
        f"{recorded.source} was answered by version {answered}, which has another graph",
        err=output.as_json,
    )


def _table(differences: Sequence[Difference]) -> Table:
    rows = [
        [each.id, name, recorded, computed]
        for each in differences
        for name, recorded, computed in each.values
    ]
    # The texts of numbers, which have at most 24 characters, or of lists.
    columns = [
        Column(each, each, right=True, least=24) for each in ("recorded", "computed")
    ]  # fmt: skip
    return Table([prose("id", rank=1), prose("value"), *columns], rows)
