"""`python -m trainer webhook`: MLflow notifies the service of changes, so that it polls at once."""

import os
from pathlib import Path
from typing import Annotated

import typer

from trainer.errors import RegistryError
from trainer.options import AsJson, Wide
from trainer.terminal import Column, Output, Table, prose, word

NAME = "mlflow-hotswap"

app = typer.Typer(
    no_args_is_help=True,
    help="Have MLflow tell the service of changes, so that it need not wait for its next poll.",
)

Name = Annotated[str, typer.Option("--name", help="The webhook's name: one for each service.")]


@app.command("set", short_help="Have MLflow tell a service.")
def set_(
    url: Annotated[str, typer.Argument(help="Where to: http(s)://SERVICE/webhooks/mlflow")],
    *,
    secret_file: Annotated[
        Path,
        typer.Option(
            "--secret-file",
            help="The file that PREDICTOR_WEBHOOK_SECRET_FILE names; its first line signs.",
        ),
    ],
    name: Name = NAME,
    try_out: Annotated[
        bool, typer.Option("--try", help="Have MLflow send an example at once; it must be taken.")
    ] = False,
) -> None:
    """Create or change the webhook with this name; a repetition changes nothing.

    MLflow's server may take MLFLOW_WEBHOOK_CACHE_TTL (60) seconds to heed it. It sends to http and to
    private addresses only with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and
    MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true, and keeps secrets with MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.
    """
    from trainer.mlflow_server import connect
    from trainer.webhooks import Webhooks, read_secret

    secret = read_secret(secret_file)
    if try_out:
        # MLflow tries a receiver that does not answer four times before it answers us.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    webhooks = Webhooks(connect())
    made = webhooks.put(name, url, secret)
    typer.echo(f"webhook {name} {'tells' if made else 'now tells'} {url}")
    if try_out:
        result = webhooks.try_out(name)
        if not result.success:
            detail = result.error_message or f"{result.response_status} {result.response_body}"
            raise RegistryError(
                f"the webhook is set, but {url} did not accept the example that MLflow sent: "
                f"{' '.join(detail.split())[:300]}; see that the service runs there with the same secret"
            )
        typer.echo(f"an example was taken, with {result.response_status}")


@app.command("list", short_help="Whom MLflow tells.")
def list_(*, wide: Wide = False, as_json: AsJson = False) -> None:
    """Show all webhooks of the server: name, state, address and events."""
    from trainer.mlflow_server import connect
    from trainer.webhooks import Webhooks

    found = Webhooks(connect()).all()
    if not found and not as_json:
        typer.echo("MLflow tells nobody; `python -m trainer webhook set URL --secret-file FILE`")
        return
    rows = [(e.name, str(e.status), e.url, [*map(str, e.events)]) for e in found]
    columns = [
        prose("name"), word("status", rank=2), prose("url", least=24),
        Column("events", "events", rank=1, text=" ".join, least=16),
    ]  # fmt: skip
    Output(wide, as_json).show(Table(columns, rows))


@app.command("delete", short_help="Have MLflow tell a service no more.")
def delete(name: Name = NAME) -> None:
    """Delete the webhook with this name, if there is one; the service still polls."""
    from trainer.mlflow_server import connect
    from trainer.webhooks import Webhooks

    removed = Webhooks(connect()).remove(name)
    typer.echo(
        f"webhook {name} {'was deleted' if removed else 'is not there; nothing was changed'}"
    )
